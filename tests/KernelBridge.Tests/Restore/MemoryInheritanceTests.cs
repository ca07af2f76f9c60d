using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Restore;

/// <summary>Plans of what processes inherit are carried out here on memory of numbers: what comes out must be what each has to have, and nothing be filled that need not be.</summary>
public sealed class MemoryInheritanceTests(ITestOutputHelper output)
{
    private const ulong Page = 4096;

    [Fact]
    public void Children_share_with_their_parent_and_siblings_what_the_parent_has_no_more()
    {
        BuildNode root = Tree((1, 0), (2, 1), (3, 1), (4, 1));
        Dictionary<int, string> memory = new() { [1] = "aaaax.", [2] = "aabab1", [3] = "aa.ab2", [4] = "aaaab3" };
        (Dictionary<int, string> restored, int filled) = Restore(root, memory);
        Assert.Equal(memory, restored);

        // a a a a; b of three siblings; x, the one b and 1, 2, 3 for their own.
        Assert.Equal(10, filled);
    }

    [Fact]
    public void A_grandchild_shares_with_its_grandparent_over_a_parent_that_has_nothing_of_it()
    {
        BuildNode root = Tree((1, 0), (2, 1), (3, 2), (4, 2));
        Dictionary<int, string> memory = new() { [1] = "abcd", [2] = "....", [3] = "abcz", [4] = "yb.d" };
        (Dictionary<int, string> restored, int filled) = Restore(root, memory);
        Assert.Equal(memory, restored);
        Assert.Equal(6, filled);
    }

    [Fact]
    public void Nothing_is_planned_where_addresses_are_in_use_or_areas_are_of_two_kinds()
    {
        BuildNode root = Tree((1, 0), (2, 1));
        Heir Of(int pid, bool noReserve) => new(pid, [new(new(Page, 9 * Page), noReserve)], [new((long)Page, 8 * 4096, Guid.Empty, 0, 0)]);
        Assert.NotEmpty(MemoryInheritance.Plan(root, [Of(1, false), Of(2, false)], [new(0, Page), new(9 * Page, 10 * Page)]));
        Assert.Empty(MemoryInheritance.Plan(root, [Of(1, false), Of(2, false)], [new(8 * Page, 10 * Page)]));
        Assert.Empty(MemoryInheritance.Plan(root, [Of(1, false), Of(2, true)], []));
        Assert.Empty(MemoryInheritance.Plan(root, [Of(1, false)], []));
    }

    [Fact]
    public void Places_that_no_writer_makes_do_no_harm()
    {
        BuildNode root = Tree((1, 0), (2, 1));
        PagePlace[] wild = [new(-4096, 8192, Guid.Empty, 0, 0), new(long.MaxValue - 4096, 8192, Guid.Empty, 0, 0), new(4096 + 17, 8192, Guid.Empty, 0, 17), new(8192, 4096 * 6, Guid.Empty, 0, 4096)];
        Heir[] heirs = [new(1, [new(new(Page, 9 * Page), false)], wild), new(2, [new(new(Page, 9 * Page), false)], wild)];
        foreach (Inheritance own in MemoryInheritance.Plan(root, heirs, []).Values)
        {
            Assert.All(own.Right, range => Assert.True(range.Start % Page == 0 && range.End % Page == 0 && range.Start >= Page && range.End <= 9 * Page));
        }
    }

    [Fact]
    public void Whatever_processes_have_is_what_they_get()
    {
        Random random = new(Tools.Seed(output));
        for (int round = 0; round < Tools.Count(2000, 50_000); round++)
        {
            int count = random.Next(2, 12);
            BuildNode root = Tree([(1, 0), .. Enumerable.Range(2, count - 1).Select(pid => (pid, random.Next(1, pid)))]);
            Dictionary<int, string> memory = [];
            HashSet<string> contents = [];
            for (int pid = 1; pid <= count; pid++)
            {
                string from = pid > 1 && random.Next(8) > 0 ? memory[random.Next(1, pid)] : new string('.', 12);
                memory[pid] = string.Concat(from.Select(page => random.Next(4) > 0 ? page : "..abcdefgh"[random.Next(10)]));
            }

            memory = memory.Where(_ => random.Next(6) > 0).ToDictionary();
            (Dictionary<int, string> restored, int filled) = Restore(root, memory);
            Assert.Equal(memory, restored);

            // Never more than all by themselves, never less than what there is.
            Assert.InRange(filled, Enumerable.Range(0, 12).Sum(at => memory.Values.Select(own => own[at]).Where(page => page != '.').Distinct().Count()), memory.Values.Sum(own => own.Count(page => page != '.')));
        }
    }

    private static BuildNode Tree(params (int Pid, int Parent)[] processes)
    {
        Dictionary<int, BuildNode> nodes = [];
        foreach ((int pid, int parent) in processes)
        {
            nodes[pid] = new BuildNode([pid], helper: false);
            if (parent > 0)
            {
                (pid % 3 == 0 ? nodes[parent].Before : pid % 3 == 1 ? nodes[parent].After : nodes[parent].Inside).Add(nodes[pid]);
            }
        }

        return nodes[1];
    }

    /// <summary>Does what a restore does, with a letter for each page; a point where there is none.</summary>
    private static (Dictionary<int, string> Memory, int Filled) Restore(BuildNode root, Dictionary<int, string> memory)
    {
        // Letters lie one behind the other in a part for each page, so that runs of them are not places of one piece.
        Heir[] heirs = [.. memory.Select(pair => new Heir(
            pair.Key,
            [new HeritableArea(new AddressRange(Page, Page * (1 + (ulong)pair.Value.Length)), false)],
            [.. pair.Value.Select((letter, at) => (letter, at)).Where(page => page.letter != '.').Select(page => new PagePlace((page.at + 1) * 4096, 4096, Guid.Empty, page.at, page.letter * 4096))]))];
        IReadOnlyDictionary<int, Inheritance> plan = MemoryInheritance.Plan(root, heirs, []);
        Dictionary<int, string> restored = [];
        int filled = 0;
        void Build(BuildNode node, Dictionary<ulong, char>? inherited)
        {
            Dictionary<ulong, char>? has = inherited is null ? null : new(inherited);
            Inheritance? own = plan.GetValueOrDefault(node.Pid);
            if (own?.Mapped.Count > 0)
            {
                Assert.Null(has);
                has = [];
            }

            foreach ((AddressRange range, int source) in own?.Filled ?? [])
            {
                for (ulong at = range.Start; at < range.End; at += Page)
                {
                    has![at] = memory[source][(int)(at / Page) - 1];
                    filled++;
                }
            }

            foreach (BuildNode child in (BuildNode[])[.. node.Before, .. node.After, .. node.Inside])
            {
                Build(child, has);
            }

            if (!memory.TryGetValue(node.Pid, out string? wanted))
            {
                return;
            }

            Assert.Equal(has is not null, own?.Mappings.Count > 0);
            restored[node.Pid] = string.Concat(wanted.Select((letter, i) =>
            {
                ulong at = (ulong)(i + 1) * Page;
                if (own?.Right.Any(range => range.Start <= at && at < range.End) == true)
                {
                    return has![at];
                }

                filled += letter == '.' ? 0 : 1;
                return letter;
            }));
        }

        Build(root, null);
        return (restored, filled);
    }
}
