namespace Holdfast.KernelBridge.Resources;

/// <summary>A process as the planner of the tree sees it; numbers of the application's own pid namespace.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="Parent">Its parent's; 0 or 1, or one that is not among the nodes, when that is outside.</param>
/// <param name="Group">Its process group.</param>
/// <param name="Session">Its session.</param>
/// <param name="Zombie">Whether it has ended and waits for its parent.</param>
internal sealed record ProcessNode(int Pid, int Parent, int Group, int Session, bool Zombie)
{
    /// <summary>Its numbers in the pid namespaces inside the application's, the outermost first.</summary>
    public IReadOnlyList<NestedNumbers> Nested { get; init; } = [];

    /// <summary>The pid namespace that it is in: its init's number; 0 for the application's.</summary>
    public int Namespace => Nested.Count == 0 ? 0 : Nested[^1].Namespace;

    /// <summary>It is the init of a pid namespace inside the application's, and adopts the orphans there.</summary>
    public bool IsInit => Nested.Count > 0 && Nested[^1].Pid == 1;

    /// <summary>The number of its process group in a namespace that it is in; 0 when the group is not visible there.</summary>
    /// <param name="depth">How far inside the application's namespace.</param>
    public int GroupAt(int depth) => depth == 0 ? Group : Nested[depth - 1].Group;
}

/// <summary>One process to make, and what it makes in turn.</summary>
/// <param name="numbers">The numbers that it must get, from the application's pid namespace to its own.</param>
/// <param name="helper">Whether it is none of the application's processes.</param>
internal sealed class BuildNode(IReadOnlyList<int> numbers, bool helper)
{
    /// <summary>The number that it must get in the application's pid namespace.</summary>
    public int Pid => numbers[0];

    /// <summary>The same from that namespace to its own.</summary>
    public IReadOnlyList<int> Numbers => numbers;

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

    /// <summary>Children in pid namespaces inside its own, made when all in its own are there.</summary>
    public List<BuildNode> Inside { get; } = [];

    /// <summary>The process group from outside its pid namespace in which it begins, by the number that its maker knows; 0 for that of its maker.</summary>
    public int BirthGroup { get; set; }
}

/// <summary>How a process tree is built.</summary>
/// <param name="Root">The first process.</param>
/// <param name="Groups">Process groups to join, in order, leaders first: setpgid(pid, group).</param>
/// <param name="Refusals">What cannot be built; then the rest is not complete.</param>
internal sealed record BuildPlan(BuildNode? Root, IReadOnlyList<(int Pid, int Group)> Groups, IReadOnlyList<Refusal> Refusals)
{
    /// <summary>Who is made into a pid namespace inside its maker's: outer namespaces first, and in each its init.</summary>
    public IReadOnlyList<(BuildNode Maker, BuildNode Child)> Inside { get; init; } = [];
}

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
        List<ProcessNode> outside = [.. nodes.Where(node => !byPid.ContainsKey(node.Parent)).OrderBy(node => node.Nested.Count).ThenBy(node => node.Pid)];
        if (outside.Count == 0 || (scope == ApplicationScope.Tree && outside.Count > 1))
        {
            return Refuse(nodes[0], "tree.roots", "the application has no single first process");
        }

        ProcessNode root = outside[0];
        if (root.Nested.Count > 0)
        {
            return Refuse(root, "tree.namespace", "it was put into a pid namespace from outside, by a process that has ended");
        }

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

        return builder.Groups(nodes) is { } groups && builder.FindBirthGroups(nodes)
            ? new BuildPlan(builder.Node(root), groups, []) { Inside = builder.InsideInOrder }
            : Refuse(root, "tree.group", "a process group cannot be rebuilt");
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
        private readonly List<(BuildNode Maker, ProcessNode Child)> inside = [];

        // Above all numbers in all namespaces, so that it is free in each.
        private int helperPid = byPid.Values.Max(node => node.Nested.SelectMany(at => (int[])[at.Pid, at.Group, at.Session]).Concat([node.Pid, node.Group, node.Session]).Max()) + 1000;

        /// <summary>Who is made into a pid namespace inside its maker's: outer namespaces first, and in each its init.</summary>
        public IReadOnlyList<(BuildNode Maker, BuildNode Child)> InsideInOrder =>
            [.. inside.OrderBy(entry => entry.Child.Nested.Count).ThenBy(entry => !entry.Child.IsInit).ThenBy(entry => entry.Child.Pid).Select(entry => (entry.Maker, Node(entry.Child)))];

        public BuildNode Node(ProcessNode node) => built.TryGetValue(node.Pid, out BuildNode? known)
            ? known
            : built[node.Pid] = new BuildNode([node.Pid, .. node.Nested.Select(at => at.Pid)], helper: false);

        /// <summary>Places a process under its creator.</summary>
        public Refusal? Attach(ProcessNode node)
        {
            BuildNode build = Node(node);
            build.LeadsSession = node.Session == node.Pid;
            if (!byPid.TryGetValue(node.Parent, out ProcessNode? parent))
            {
                return node.Nested.Count == 0
                    ? AttachOrphan(node, build, root, inherited)
                    : Obstacle(node, "tree.namespace", "it was put into a pid namespace from outside, by a process that has ended");
            }

            return parent.Namespace == node.Namespace ? AttachChild(node, build, parent) : AttachInside(node, build, parent);
        }

        /// <summary>Finds in which process group from outside it the members of a pid namespace have to begin. False when that is more than one.</summary>
        public bool FindBirthGroups(List<ProcessNode> nodes)
        {
            Dictionary<int, (BuildNode Maker, ProcessNode Child)> entries = inside.ToDictionary(entry => entry.Child.Pid);
            Dictionary<int, int> wanted = [];
            foreach (ProcessNode node in nodes.Where(node => node.Nested.Count > 0 && node.GroupAt(node.Nested.Count) == 0))
            {
                ProcessNode at = node;
                while (!entries.ContainsKey(at.Pid))
                {
                    at = byPid[at.Parent];
                }

                ProcessNode maker = byPid[at.Parent];
                int seen = node.GroupAt(maker.Nested.Count);
                if ((wanted.TryGetValue(at.Pid, out int other) && other != node.Group) || (seen == 0 && maker.Group != node.Group))
                {
                    return false;
                }

                wanted[at.Pid] = node.Group;
                Node(at).BirthGroup = maker.Group == node.Group ? 0 : seen;
            }

            return true;
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

                // Who does not see his group was born in it.
                if (node.GroupAt(node.Nested.Count) != 0)
                {
                    members.Add((node.Pid, node.Group));
                }

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
                    // A member makes the helper, so that it is of the same session; or who made it into a pid namespace that does not show the group.
                    ProcessNode maker = node;
                    while (node.GroupAt(maker.Nested.Count) == 0)
                    {
                        maker = byPid[maker.Parent];
                    }

                    if (maker.Session != node.Session)
                    {
                        return null;
                    }

                    Node(maker).After.Add(built[node.Group] = new BuildNode([.. Enumerable.Range(0, maker.Nested.Count + 1).Select(node.GroupAt)], helper: true));
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

            return parent.IsInit
                ? AttachOrphan(node, build, parent, _ => false)
                : Obstacle(node, "tree.session", $"its parent {parent.Pid} was never in its session {node.Session}", "let the parent end, or start it in another way");
        }

        /// <summary>Places a process that is in a pid namespace inside its parent's: it is made when all in its parent's are there.</summary>
        private Refusal? AttachInside(ProcessNode node, BuildNode build, ProcessNode parent)
        {
            if (node.Session != node.Pid && node.Session != parent.Session)
            {
                return Obstacle(node, "tree.session", $"its parent {parent.Pid} has left its session {node.Session} after it had put it into a pid namespace", "let the parent end, or start it in another way");
            }

            Node(parent).Inside.Add(build);
            inside.Add((Node(parent), node));
            return null;
        }

        /// <summary>Places a process that has been adopted: by the space's init, or by one of the application's in a pid namespace of its own.</summary>
        private Refusal? AttachOrphan(ProcessNode node, BuildNode build, ProcessNode adopter, Func<int, bool> isFromOutside)
        {
            if (adopter == root && (node.Session == node.Pid || isFromOutside(node.Session)))
            {
                build.SiblingOfCreator = true;
                Node(root).Before.Add(build);
                return null;
            }

            int[] session = [node.Session, .. node.Nested.Select(at => at.Session)];
            if (session[^1] == 0 || (byPid.TryGetValue(node.Session, out ProcessNode? its) && its.Namespace != node.Namespace))
            {
                return Obstacle(node, "tree.session", $"it is in session {node.Session}, which began outside of its pid namespace, and the process that made it has ended");
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
                    leader = new BuildNode(session, helper: true) { LeadsSession = true };
                    built[node.Session] = leader;
                    (adopter == root ? Node(root).Before : Node(adopter).After).Add(leader);
                }
            }

            if (leader.Helper)
            {
                leader.After.Add(build);
            }
            else
            {
                BuildNode helper = new([.. Enumerable.Repeat(helperPid++, node.Nested.Count + 1)], helper: true);
                helper.After.Add(build);
                leader.After.Add(helper);
            }

            return null;
        }

        private static Refusal Obstacle(ProcessNode node, string code, string why, string remedy = "start it in another way") => new(code, node.Pid, null, "process tree", why, remedy);

        /// <summary>The session in which a process other than the root was made; 0 for an orphan, whose maker is gone.</summary>
        private int BirthSession(ProcessNode node) => byPid.TryGetValue(node.Parent, out ProcessNode? parent) ? parent.Session : 0;
    }
}
