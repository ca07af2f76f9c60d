using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>The plan of a tree, executed on a model of fork, setsid, setpgid and exit, yields exactly the tree that was wanted.</summary>
public sealed class ProcessTreesTests(ITestOutputHelper output)
{
    [Fact]
    public void A_random_history_is_rebuilt_exactly()
    {
        Random random = new(Tools.Seed(output));
        int refused = 0;
        int rounds = Tools.Count(3000, 100_000);
        for (int round = 0; round < rounds; round++)
        {
            Model history = Model.Random(random);
            List<ProcessNode> wanted = history.Nodes();
            BuildPlan plan = ProcessTrees.Plan(wanted.OrderBy(_ => random.Next()), ApplicationScope.Space);
            if (plan.Refusals.Count > 0)
            {
                refused++;
                continue;
            }

            List<ProcessNode> built;
            try
            {
                built = Model.Build(plan).Nodes();
            }
            catch (Xunit.Sdk.XunitException e)
            {
                throw new Xunit.Sdk.XunitException($"{e.Message}\nwanted\n  {string.Join("\n  ", wanted)}\ngroups {string.Join(' ', plan.Groups)}");
            }

            Assert.True(
                wanted.Select(node => node with { Zombie = false }).SequenceEqual(built),
                $"wanted\n  {string.Join("\n  ", wanted)}\nbuilt\n  {string.Join("\n  ", built)}");
        }

        output.WriteLine($"{refused} of {rounds} refused");
        Assert.True(refused < rounds / 2, $"{refused} of {rounds} refused");
    }

    [Fact]
    public void A_dead_session_leader_is_replaced_by_a_helper_that_ends()
    {
        BuildPlan plan = Plan(new(2, 1, 2, 2, false), new(11, 1, 10, 10, false), new(12, 11, 10, 10, false));
        Assert.Empty(plan.Refusals);
        BuildNode helper = Assert.Single(plan.Root!.Before, node => node.Helper);
        Assert.Equal(10, helper.Pid);
        Assert.True(helper.LeadsSession);
        Assert.Equal(11, Assert.Single(helper.After).Pid);
    }

    [Fact]
    public void A_dead_group_leader_is_replaced_by_a_helper_of_the_same_session()
    {
        BuildPlan plan = Plan(new(2, 1, 2, 2, false), new(5, 2, 4, 2, false), new(6, 2, 4, 2, false));
        Assert.Equal([(4, 4), (5, 4), (6, 4)], plan.Groups);
        Assert.Equal([2, 5, 6, 4], Model.Build(plan).Ever);
    }

    [Fact]
    public void A_child_that_stayed_in_the_session_its_parent_left_is_made_before_that()
    {
        BuildPlan plan = Plan(new(2, 1, 2, 2, false), new(3, 2, 3, 3, false), new(4, 3, 2, 2, false), new(5, 3, 3, 3, true));
        BuildNode leader = Assert.Single(plan.Root!.After);
        Assert.Equal(4, Assert.Single(leader.Before).Pid);
        Assert.Equal(5, Assert.Single(leader.After).Pid);
    }

    [Fact]
    public void What_fork_cannot_make_is_refused()
    {
        Assert.Equal("tree.session", Assert.Single(Plan(new(2, 1, 2, 2, false), new(3, 2, 3, 3, false), new(4, 2, 3, 3, false)).Refusals).Code);
        Assert.Equal("tree.group", Assert.Single(Plan(new(2, 1, 2, 2, false), new(3, 2, 3, 3, false), new(4, 2, 3, 2, false)).Refusals).Code);
    }

    [Fact]
    public void A_pid_namespace_is_made_when_all_around_it_is_there_and_its_init_first()
    {
        BuildPlan plan = Plan(
            new(2, 1, 2, 2, false), new(5, 2, 5, 2, false), Inside(6, 5, 5, 2, (7, 4, 0, 0)), Inside(7, 5, 5, 2, (7, 1, 0, 0)), Inside(8, 7, 8, 2, (7, 2, 2, 0)), Inside(9, 7, 5, 2, (7, 3, 0, 0)));
        Assert.Empty(plan.Refusals);
        Assert.Equal([(5, 7), (5, 6)], plan.Inside.Select(entry => (entry.Maker.Pid, entry.Child.Pid)));
        Assert.Equal([7, 1], plan.Inside[0].Child.Numbers);
        Assert.Equal([[8, 2], [9, 3]], plan.Inside[0].Child.After.Select(child => child.Numbers));
        Assert.All(plan.Inside, entry => Assert.Equal(0, entry.Child.BirthGroup));
        Assert.Equal([(5, 5), (8, 8)], plan.Groups);
    }

    [Fact]
    public void A_group_from_outside_that_its_maker_is_not_in_is_given_to_an_init_at_birth()
    {
        BuildPlan plan = Plan(new(2, 1, 2, 2, false), new(3, 2, 3, 2, false), Inside(4, 2, 4, 2, (4, 1, 1, 0)), Inside(5, 4, 3, 2, (4, 2, 0, 0)));
        Assert.Equal(3, Assert.Single(plan.Inside).Child.BirthGroup);
        Assert.Equal([(3, 3), (4, 4)], plan.Groups);
    }

    [Fact]
    public void A_dead_leader_in_a_pid_namespace_is_replaced_by_a_helper_with_its_numbers_there()
    {
        BuildPlan plan = Plan(
            new(2, 1, 2, 2, false), Inside(3, 2, 2, 2, (3, 1, 0, 0)), Inside(5, 3, 4, 4, (3, 3, 2, 2)), Inside(7, 3, 6, 2, (3, 5, 4, 0)), Inside(9, 3, 8, 8, (3, 7, 6, 6)), Inside(8, 3, 8, 8, (3, 6, 6, 6)));
        Assert.Empty(plan.Refusals);
        List<BuildNode> children = Assert.Single(plan.Inside).Child.After;
        BuildNode session = Assert.Single(children, child => child.Helper);
        Assert.Equal([4, 2], session.Numbers);
        Assert.Equal(5, Assert.Single(session.After).Pid);
        BuildNode group = Assert.Single(Assert.Single(children, child => child.Pid == 7).After);
        Assert.Equal([6, 4], group.Numbers);
        Assert.True(group.Helper);

        // Where the leader lives, its orphan is made by a helper of it, which has a number that is free everywhere.
        BuildNode maker = Assert.Single(Assert.Single(children, child => child.Pid == 8).After);
        Assert.True(maker.Helper);
        Assert.Equal(9, Assert.Single(maker.After).Pid);
        Assert.Equal(2, maker.Numbers.Count);
    }

    [Fact]
    public void What_cannot_be_made_in_a_pid_namespace_is_refused()
    {
        Assert.Equal("tree.session", Assert.Single(Plan(new(2, 1, 2, 2, false), new(3, 2, 3, 3, false), Inside(4, 3, 2, 2, (4, 1, 0, 0))).Refusals).Code);
        Assert.Equal("tree.namespace", Assert.Single(Plan(new(2, 1, 2, 2, false), Inside(3, 2, 2, 2, (3, 1, 0, 0)), Inside(4, 1, 2, 2, (3, 2, 0, 0))).Refusals).Code);
        Assert.Equal("tree.session", Assert.Single(Plan(new(2, 1, 2, 2, false), Inside(3, 2, 3, 3, (3, 1, 1, 1)), Inside(4, 3, 9, 9, (3, 2, 0, 0))).Refusals).Code);
        Assert.Equal(
            "tree.group",
            Assert.Single(Plan(new(2, 1, 2, 2, false), new(5, 2, 5, 2, false), Inside(3, 2, 2, 2, (3, 1, 0, 0)), Inside(4, 3, 5, 2, (3, 2, 0, 0))).Refusals).Code);
    }

    /// <summary>A process in a pid namespace inside the application's.</summary>
    private static ProcessNode Inside(int pid, int parent, int group, int session, params (int Namespace, int Pid, int Group, int Session)[] numbers) =>
        new(pid, parent, group, session, false) { Nested = [.. numbers.Select(own => new NestedNumbers(own.Namespace, own.Pid, own.Group, own.Session))] };

    private static BuildPlan Plan(params ProcessNode[] nodes) => ProcessTrees.Plan(nodes, ApplicationScope.Space);

    /// <summary>What the kernel does with parents, groups and sessions; number 1 is the space's init.</summary>
    private sealed class Model
    {
        private readonly SortedDictionary<int, (int Parent, int Group, int Session, bool Zombie)> processes = [];

        public List<int> Ever { get; } = [];

        public static Model Random(Random random)
        {
            Model model = new();
            model.Add(2, 1, 2, 2);
            int next = 3;
            int steps = random.Next(1, 25);
            for (int i = 0; i < steps; i++)
            {
                int[] live = [.. model.processes.Where(p => !p.Value.Zombie).Select(p => p.Key)];
                int who = live[random.Next(live.Length)];
                (int parent, int group, int session, _) = model.processes[who];
                switch (random.Next(10))
                {
                    case < 5:
                        model.Add(next++, who, group, session);
                        break;
                    case 5:
                        model.SetSession(who);
                        break;
                    case 6:
                        model.SetGroup(who, who);
                        break;
                    case 7:
                        int[] groups = [.. model.processes.Values.Where(p => p.Session == session).Select(p => p.Group).Distinct()];
                        model.SetGroup(who, groups[random.Next(groups.Length)]);
                        break;
                    case 8 when who != 2:
                        model.End(who, reaped: parent == 1 || random.Next(2) == 0);
                        break;
                }
            }

            return model;
        }

        public static Model Build(BuildPlan plan)
        {
            // The stub of the root is born in the session that it leads, or in an inherited one.
            Model model = new();
            model.Add(plan.Root!.Pid, 1, plan.Root.LeadsSession ? plan.Root.Pid : 0, plan.Root.LeadsSession ? plan.Root.Pid : 0);
            if (plan.Root.LeadsSession)
            {
                // Before its own setsid a space's first process is in the session of whoever started it.
                model.processes[plan.Root.Pid] = (1, 0, 0, false);
            }

            model.Make(plan.Root);
            foreach ((int pid, int group) in plan.Groups)
            {
                Assert.True(model.SetGroup(pid, group), $"setpgid({pid}, {group})");
            }

            model.EndHelpers(plan.Root);
            return model;
        }

        public List<ProcessNode> Nodes() => [.. processes.Select(p => new ProcessNode(p.Key, p.Value.Parent, p.Value.Group, p.Value.Session, p.Value.Zombie))];

        private void Make(BuildNode node)
        {
            foreach (BuildNode child in node.Before)
            {
                Fork(node, child);
            }

            if (node.LeadsSession)
            {
                Assert.True(SetSession(node.Pid), $"setsid of {node.Pid}");
            }

            foreach (BuildNode child in node.After)
            {
                Fork(node, child);
            }

            foreach (BuildNode child in (IEnumerable<BuildNode>)[.. node.Before, .. node.After])
            {
                Make(child);
            }
        }

        private void Fork(BuildNode maker, BuildNode child)
        {
            (int parent, int group, int session, _) = processes[maker.Pid];
            Assert.False(processes.ContainsKey(child.Pid), $"{child.Pid} is made twice");
            Add(child.Pid, child.SiblingOfCreator ? parent : maker.Pid, group, session);
        }

        private void EndHelpers(BuildNode node)
        {
            foreach (BuildNode child in (IEnumerable<BuildNode>)[.. node.Before, .. node.After])
            {
                EndHelpers(child);
                if (child.Helper)
                {
                    End(child.Pid, reaped: true);
                }
            }
        }

        private void Add(int pid, int parent, int group, int session)
        {
            processes[pid] = (parent, group, session, false);
            Ever.Add(pid);
        }

        private bool SetSession(int pid)
        {
            (int parent, int group, _, _) = processes[pid];
            if (group == pid || processes.Values.Any(p => p.Group == pid))
            {
                return false;
            }

            processes[pid] = (parent, pid, pid, false);
            return true;
        }

        private bool SetGroup(int pid, int group)
        {
            (int parent, _, int session, bool zombie) = processes[pid];
            if (session == pid || (group != pid && !processes.Values.Any(p => p.Group == group && p.Session == session)))
            {
                return false;
            }

            processes[pid] = (parent, group, session, zombie);
            return true;
        }

        private void End(int pid, bool reaped)
        {
            foreach ((int child, (int Parent, int Group, int Session, bool Zombie) its) in processes.Where(p => p.Value.Parent == pid).ToList())
            {
                // The init reaps what has ended already.
                if (its.Zombie)
                {
                    processes.Remove(child);
                }
                else
                {
                    processes[child] = its with { Parent = 1 };
                }
            }

            if (reaped)
            {
                processes.Remove(pid);
            }
            else
            {
                processes[pid] = processes[pid] with { Zombie = true };
            }
        }
    }
}
