namespace Holdfast.KernelBridge.Resources;

/// <summary>A process as the planner of the tree sees it; numbers of the application's own pid namespace.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="Parent">Its parent's; 0 or 1, or one that is not among the nodes, when that is outside.</param>
/// <param name="Group">Its process group.</param>
/// <param name="Session">Its session.</param>
/// <param name="Zombie">Whether it has ended and waits for its parent.</param>
internal sealed record ProcessNode(int Pid, int Parent, int Group, int Session, bool Zombie);

/// <summary>One process to make, and what it makes in turn.</summary>
internal sealed class BuildNode(int pid, bool helper)
{
    /// <summary>The number that it must get.</summary>
    public int Pid => pid;

    /// <summary>It exists only so that others get the right session, group or parent; it ends before the application runs.</summary>
    public bool Helper => helper;

    /// <summary>It calls setsid(2).</summary>
    public bool LeadsSession { get; set; }

    /// <summary>It is made as a child of its creator's parent (CLONE_PARENT).</summary>
    public bool SiblingOfCreator { get; set; }

    /// <summary>Children made before setsid: they stay in the session that it was born in.</summary>
    public List<BuildNode> Before { get; } = [];

    /// <summary>Children made after setsid.</summary>
    public List<BuildNode> After { get; } = [];
}

/// <summary>How a process tree is built.</summary>
/// <param name="Root">The first process.</param>
/// <param name="Groups">Process groups to join, in order, leaders first: setpgid(pid, group).</param>
/// <param name="Refusals">What cannot be built; then the rest is not complete.</param>
internal sealed record BuildPlan(BuildNode? Root, IReadOnlyList<(int Pid, int Group)> Groups, IReadOnlyList<Refusal> Refusals);

/// <summary>
/// Plans a process tree with its sessions and process groups (credentials(7), setsid(2), setpgid(2)). A session is only passed on by fork, so whoever
/// belongs to one must be made by one of its members; where the leader is dead, a helper with its number stands in and ends. Pure: a check asks it too.
/// </summary>
internal static class ProcessTrees
{
    public static BuildPlan Plan(IEnumerable<ProcessNode> processes, ApplicationScope scope)
    {
        List<ProcessNode> nodes = [.. processes];
        Dictionary<int, ProcessNode> byPid = [];
        foreach (ProcessNode node in nodes)
        {
            byPid[node.Pid] = node;
        }

        // In a space the root is the oldest child of its init; in a tree it is the only one without a parent among the nodes.
        List<ProcessNode> outside = [.. nodes.Where(node => !byPid.ContainsKey(node.Parent)).OrderBy(node => node.Pid)];
        if (outside.Count == 0 || (scope == ApplicationScope.Tree && outside.Count > 1))
        {
            return Refuse(nodes[0], "tree.roots", "the application has no single first process");
        }

        ProcessNode root = outside[0];
        bool Inherited(int number) => !byPid.ContainsKey(number) && (number <= 1 || (scope == ApplicationScope.Tree && (number == root.Session || number == root.Group)));

        Builder builder = new(byPid, root, Inherited);
        builder.Node(root).LeadsSession = root.Session == root.Pid;
        if (!Inherited(root.Session) && root.Session != root.Pid)
        {
            return Refuse(root, "tree.session", $"its session {root.Session} began outside");
        }

        foreach (ProcessNode node in ParentsFirst(nodes, byPid, outside))
        {
            if (node != root && builder.Attach(node) is { } refusal)
            {
                return new BuildPlan(null, [], [refusal]);
            }
        }

        return builder.Groups(nodes) is { } groups ? new BuildPlan(builder.Node(root), groups, []) : Refuse(root, "tree.group", "a process group cannot be rebuilt");
    }

    private static IEnumerable<ProcessNode> ParentsFirst(List<ProcessNode> nodes, Dictionary<int, ProcessNode> byPid, List<ProcessNode> outside)
    {
        ILookup<int, ProcessNode> children = nodes.Where(node => byPid.ContainsKey(node.Parent)).OrderBy(node => node.Pid).ToLookup(node => node.Parent);
        Queue<ProcessNode> queue = new(outside);
        while (queue.TryDequeue(out ProcessNode? node))
        {
            yield return node;
            foreach (ProcessNode child in children[node.Pid])
            {
                queue.Enqueue(child);
            }
        }
    }

    private static BuildPlan Refuse(ProcessNode node, string code, string why) =>
        new(null, [], [new Refusal(code, node.Pid, null, "process tree", why, "start it in another way, or checkpoint its session's first process")]);

    private sealed class Builder(Dictionary<int, ProcessNode> byPid, ProcessNode root, Func<int, bool> inherited)
    {
        private readonly Dictionary<int, BuildNode> built = [];
        private int helperPid = byPid.Values.Max(node => Math.Max(node.Pid, Math.Max(node.Group, node.Session))) + 1000;

        public BuildNode Node(ProcessNode node) => built.TryGetValue(node.Pid, out BuildNode? known) ? known : built[node.Pid] = new BuildNode(node.Pid, helper: false);

        /// <summary>Places a process under its creator.</summary>
        public Refusal? Attach(ProcessNode node)
        {
            BuildNode build = Node(node);
            build.LeadsSession = node.Session == node.Pid;
            return byPid.TryGetValue(node.Parent, out ProcessNode? parent) ? AttachChild(node, build, parent) : AttachOrphan(node, build);
        }

        /// <summary>Group memberships, leaders first; a dead leader's place is taken by a helper. Null when one lies in another session.</summary>
        public List<(int Pid, int Group)>? Groups(List<ProcessNode> nodes)
        {
            List<(int Pid, int Group)> leaders = [];
            List<(int Pid, int Group)> members = [];
            foreach (ProcessNode node in nodes.Where(node => node.Session != node.Pid && !inherited(node.Group)))
            {
                if (node.Group == node.Pid)
                {
                    leaders.Add((node.Pid, node.Pid));
                    continue;
                }

                members.Add((node.Pid, node.Group));
                if (byPid.TryGetValue(node.Group, out ProcessNode? leader))
                {
                    if (leader.Session != node.Session)
                    {
                        return null;
                    }

                    if (leader.Group != leader.Pid && !leaders.Contains((leader.Pid, leader.Pid)))
                    {
                        // It has left the group that it led: it begins it, others join, and then it leaves it again.
                        leaders.Add((leader.Pid, leader.Pid));
                    }
                }
                else if (!built.ContainsKey(node.Group))
                {
                    // A member makes the helper, so that it is of the same session.
                    Node(node).After.Add(built[node.Group] = new BuildNode(node.Group, helper: true));
                    leaders.Add((node.Group, node.Group));
                }
            }

            return InOrder(members) is { } ordered ? [.. leaders, .. ordered] : null;
        }

        /// <summary>Nobody leaves a group that he began before all others have joined it. Null where that goes round in a circle.</summary>
        private static List<(int Pid, int Group)>? InOrder(List<(int Pid, int Group)> members)
        {
            List<(int Pid, int Group)> ordered = [];
            List<(int Pid, int Group)> left = members;
            while (left.Count > 0)
            {
                HashSet<int> awaited = [.. left.Select(member => member.Group)];
                List<(int Pid, int Group)> next = [.. left.Where(member => !awaited.Contains(member.Pid))];
                if (next.Count == 0)
                {
                    return null;
                }

                ordered.AddRange(next);
                left = [.. left.Where(member => awaited.Contains(member.Pid))];
            }

            return ordered;
        }

        private Refusal? AttachChild(ProcessNode node, BuildNode build, ProcessNode parent)
        {
            BuildNode creator = Node(parent);
            if (node.Session == node.Pid || node.Session == parent.Session)
            {
                creator.After.Add(build);
                return null;
            }

            if (parent.Session == parent.Pid && (parent == root ? inherited(node.Session) : node.Session == BirthSession(parent)))
            {
                creator.Before.Add(build);
                return null;
            }

            return new Refusal(
                "tree.session", node.Pid, null, "process tree", $"its parent {parent.Pid} was never in its session {node.Session}", "let the parent end, or start it in another way");
        }

        private Refusal? AttachOrphan(ProcessNode node, BuildNode build)
        {
            if (node.Session == node.Pid || inherited(node.Session))
            {
                build.SiblingOfCreator = true;
                Node(root).Before.Add(build);
                return null;
            }

            // A helper that ends makes an orphan of its child, which the space's init adopts.
            if (!built.TryGetValue(node.Session, out BuildNode? leader))
            {
                if (byPid.TryGetValue(node.Session, out ProcessNode? live))
                {
                    leader = Node(live);
                }
                else
                {
                    leader = new BuildNode(node.Session, helper: true) { LeadsSession = true };
                    built[node.Session] = leader;
                    Node(root).Before.Add(leader);
                }
            }

            if (leader.Helper)
            {
                leader.After.Add(build);
            }
            else
            {
                BuildNode helper = new(helperPid++, helper: true);
                helper.After.Add(build);
                leader.After.Add(helper);
            }

            return null;
        }

        /// <summary>The session in which a process other than the root was made; 0 for an orphan, whose maker is gone.</summary>
        private int BirthSession(ProcessNode node) => byPid.TryGetValue(node.Parent, out ProcessNode? parent) ? parent.Session : 0;
    }
}
