using System.Numerics;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Restore;

/// <summary>A range of addresses.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">Behind its last.</param>
internal readonly record struct AddressRange(ulong Start, ulong End)
{
    /// <summary>What is left of it without others, which ascend and do not overlap.</summary>
    public IEnumerable<AddressRange> Without(IReadOnlyList<AddressRange> others)
    {
        ulong at = Start;
        for (int i = FirstBehind(others, Start); i < others.Count && others[i].Start < End; i++)
        {
            if (others[i].Start > at)
            {
                yield return new AddressRange(at, others[i].Start);
            }

            at = Math.Max(at, others[i].End);
        }

        if (at < End)
        {
            yield return new AddressRange(at, End);
        }
    }

    /// <summary>The first of ascending ranges that ends behind an address.</summary>
    public static int FirstBehind(IReadOnlyList<AddressRange> ranges, ulong address)
    {
        int low = 0;
        int high = ranges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = ranges[middle].End <= address ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}

/// <summary>Memory that processes may inherit: an area of private anonymous memory.</summary>
/// <param name="Range">Its addresses.</param>
/// <param name="NoReserve">Whether it is mapped with MAP_NORESERVE, which cannot be changed later.</param>
internal readonly record struct HeritableArea(AddressRange Range, bool NoReserve);

/// <summary>A process that may share memory with its relatives.</summary>
/// <param name="Pid">Its number.</param>
/// <param name="Areas">Its areas that may be inherited, ascending.</param>
/// <param name="Places">Where its memory is stored, ascending.</param>
internal sealed record Heir(int Pid, IReadOnlyList<HeritableArea> Areas, IReadOnlyList<PagePlace> Places);

/// <summary>What is done in one process while the tree is built, so that those after it inherit memory.</summary>
internal sealed class Inheritance
{
    /// <summary>Mapped in it before its children are made; their addresses are free in all of them until then.</summary>
    public List<HeritableArea> Mapped { get; } = [];

    /// <summary>What it has of all that is mapped, itself or by those before it, ascending.</summary>
    public List<AddressRange> Mappings { get; } = [];

    /// <summary>Filled before its children are made, ascending, each with what a process has there.</summary>
    public List<(AddressRange Range, int Pid)> Filled { get; } = [];

    /// <summary>Where it has, by inheritance or filled before its children were made, what it must have itself; ascending. Whatever else it has there is in its way.</summary>
    public List<AddressRange> Right { get; } = [];
}

/// <summary>
/// Plans which memory lies in which process before its children are made, so that those share it copy-on-write who have the same bytes at the same addresses in the
/// same part of the snapshot. Pure.
/// </summary>
/// <remarks>
/// Which contents a page has in which process at that moment is the problem of the most parsimonious labels of a tree of which the leaves are known (Hartigan, Minimum
/// mutation fits to a given tree, Biometrics 1973): every difference along an edge is a page that is filled. Where processes have nothing costs nothing, since pages
/// are dropped for free. What is not planned (too much work, too many pieces, addresses in use) is filled in each process by itself.
/// </remarks>
internal sealed class MemoryInheritance
{
    /// <summary>Steps that planning may take, pieces that a process may have, and different contents of a page that are told apart.</summary>
    private const long MostWork = 400_000_000;

    private const int MostPieces = 1 << 17, MostContents = 64, MostSpans = 10_000;

    /// <summary>Places of all processes: more would take more memory than they are worth.</summary>
    public const int MostPlaces = 2_000_000;

    private readonly List<BuildNode> nodes = [];
    private readonly List<int> parents = [];
    private readonly Inheritance[] results;
    private readonly int[] heirOf;
    private readonly IReadOnlyList<Heir> heirs;
    private readonly List<HeritableArea> spans;
    private readonly List<HashSet<int>> mapped;
    private long work;

    // Of the piece that is being looked at: contents by heir and by node, sets of good labels, labels, and what is there.
    private readonly int[] contents;
    private readonly int[] counts;
    private readonly ulong[] good;
    private readonly int[] labels;
    private readonly int[] holds;
    private readonly int[] wanting;

    private MemoryInheritance(BuildNode root, IReadOnlyList<Heir> heirs, IReadOnlyList<AddressRange> inUse)
    {
        this.heirs = heirs;
        Add(root, -1);
        Dictionary<int, int> index = heirs.Select((heir, i) => (heir.Pid, i)).ToDictionary(pair => pair.Pid, pair => pair.i);
        heirOf = [.. nodes.Select(node => node.Helper ? -1 : index.GetValueOrDefault(node.Pid, -1))];
        results = [.. nodes.Select(_ => new Inheritance())];
        mapped = [.. nodes.Select(_ => new HashSet<int>())];
        spans = Spans(heirs, inUse);
        contents = new int[heirs.Count];
        counts = new int[nodes.Count * Math.Min(MostContents, heirs.Count)];
        good = new ulong[nodes.Count];
        labels = new int[nodes.Count];
        holds = new int[nodes.Count];
        wanting = new int[nodes.Count];
    }

    /// <summary>Makes the plan.</summary>
    /// <param name="root">The tree as it is built.</param>
    /// <param name="heirs">The processes that may share something.</param>
    /// <param name="inUse">Addresses that are in use in the first process, and so in all; any order.</param>
    /// <returns>By process number; processes that have nothing to do with it are missing.</returns>
    public static IReadOnlyDictionary<int, Inheritance> Plan(BuildNode root, IReadOnlyList<Heir> heirs, IReadOnlyList<AddressRange> inUse)
    {
        MemoryInheritance plan = new(root, heirs, inUse);
        if (plan.spans.Count > 0)
        {
            plan.GoThrough();
            plan.Finish();
        }

        return Enumerable.Range(0, plan.nodes.Count).Where(i => plan.results[i].Mappings.Count > 0).ToDictionary(i => plan.nodes[i].Pid, i => plan.results[i]);
    }

    private void Add(BuildNode node, int parent)
    {
        int own = nodes.Count;
        nodes.Add(node);
        parents.Add(parent);
        foreach (BuildNode child in (IEnumerable<BuildNode>)[.. node.Before, .. node.After, .. node.Inside])
        {
            Add(child, own);
        }
    }

    /// <summary>What is mapped in one go: areas that overlap between processes become one, of which each cuts off what it does not have.</summary>
    private static List<HeritableArea> Spans(IReadOnlyList<Heir> heirs, IReadOnlyList<AddressRange> inUse)
    {
        List<HeritableArea> spans = [];
        HashSet<int> members = [];
        bool fits = false;
        HeritableArea open = default;
        void Close()
        {
            if (fits && members.Count > 1 && !inUse.Any(used => used.Start < open.Range.End && used.End > open.Range.Start))
            {
                spans.Add(open);
            }
        }

        foreach ((HeritableArea area, int heir) in heirs.SelectMany((heir, i) => heir.Areas.Select(area => (area, i))).OrderBy(pair => pair.area.Range.Start))
        {
            if (members.Count == 0 || area.Range.Start >= open.Range.End)
            {
                Close();
                (open, fits) = (area, true);
                members.Clear();
            }

            fits &= area.NoReserve == open.NoReserve;
            open = open with { Range = open.Range with { End = Math.Max(open.Range.End, area.Range.End) } };
            members.Add(heir);
        }

        Close();

        // The kernel allows a process 65,530 areas (/proc/sys/vm/max_map_count).
        return spans.Count <= MostSpans ? spans
            : [.. spans.OrderByDescending(span => span.Range.End - span.Range.Start).Take(MostSpans).OrderBy(span => span.Range.Start)];
    }

    /// <summary>Goes through all addresses, from one at which somebody's place begins or ends to the next.</summary>
    private void GoThrough()
    {
        // Behind an end, the place is -1.
        List<(ulong At, int Heir, int Place)> events = [];
        AddressRange[] allowed = [.. spans.Select(span => span.Range)];
        for (int i = 0; i < heirs.Count; i++)
        {
            AddressRange[] own = [.. heirs[i].Areas.Select(area => area.Range)];
            for (int index = 0; index < heirs[i].Places.Count; index++)
            {
                PagePlace place = heirs[i].Places[index];

                // Whole pages only.
                AddressRange whole = new((ulong)place.Offset + 0xfff & ~0xffful, (ulong)(place.Offset + place.Length) & ~0xffful);
                for (int at = AddressRange.FirstBehind(own, whole.Start); at < own.Length && own[at].Start < whole.End; at++)
                {
                    int span = AddressRange.FirstBehind(allowed, own[at].Start);
                    ulong start = Math.Max(whole.Start, own[at].Start);
                    ulong end = Math.Min(whole.End, own[at].End);
                    if (start < end && span < allowed.Length && allowed[span].Start <= start)
                    {
                        events.Add((start, i, index));
                        events.Add((end, i, -1));
                    }
                }
            }
        }

        // What ends goes before what begins there.
        events.Sort((a, b) => a.At != b.At ? a.At.CompareTo(b.At) : a.Place.CompareTo(b.Place));
        int[] open = new int[heirs.Count];
        open.AsSpan().Fill(-1);
        int count = 0;
        Dictionary<(Guid, long, long), int> numbers = [];
        int atSpan = 0;
        for (int i = 0; i < events.Count;)
        {
            ulong at = events[i].At;
            for (; i < events.Count && events[i].At == at; i++)
            {
                ref int own = ref open[events[i].Heir];
                count += (events[i].Place < 0 ? 0 : 1) - (own < 0 ? 0 : 1);
                own = events[i].Place;
            }

            if (count < 2)
            {
                continue;
            }

            work += open.Length;

            if (work > MostWork)
            {
                return;
            }

            while (spans[atSpan].Range.End <= at)
            {
                atSpan++;
            }

            int shared = Number(open, at, numbers);
            if (shared > 0)
            {
                work += nodes.Count * (long)(shared + 1);
                Label(shared);
                Note(new AddressRange(at, events[i].At), atSpan);
            }
        }
    }

    /// <summary>Numbers the contents that several have.</summary>
    private int Number(int[] open, ulong at, Dictionary<(Guid, long, long), int> numbers)
    {
        // First seen: minus one and the heir; seen again: its number.
        numbers.Clear();
        contents.AsSpan().Fill(-1);
        int shared = 0;
        for (int heir = 0; heir < open.Length; heir++)
        {
            if (open[heir] < 0)
            {
                continue;
            }

            PagePlace place = heirs[heir].Places[open[heir]];
            ref int known = ref CollectionsMarshal.GetValueRefOrAddDefault(numbers, (place.Holder, place.Part, place.Position + ((long)at - place.Offset)), out bool there);
            if (!there)
            {
                known = -1 - heir;
            }
            else if (known >= 0)
            {
                contents[heir] = known;
            }
            else if (shared < MostContents)
            {
                contents[-1 - known] = contents[heir] = shared;
                known = shared++;
            }
        }

        return shared;
    }

    /// <summary>Finds what each node should have when its children are made.</summary>
    private void Label(int shared)
    {
        int nodeCount = nodes.Count;
        counts.AsSpan(0, nodeCount * shared).Clear();
        for (int node = nodeCount - 1; node >= 0; node--)
        {
            Span<int> own = counts.AsSpan(node * shared, shared);
            if (Own(node) is var content and >= 0)
            {
                own[content]++;
            }

            int most = 1;
            ulong set = 0;
            for (int i = 0; i < shared; i++)
            {
                if (own[i] >= most)
                {
                    set = own[i] > most ? 0 : set;
                    most = own[i];
                    set |= 1ul << i;
                }
            }

            good[node] = set;
            for (ulong rest = set; rest != 0 && parents[node] >= 0; rest &= rest - 1)
            {
                counts[parents[node] * shared + BitOperations.TrailingZeroCount(rest)]++;
            }
        }

        wanting.AsSpan().Clear();
        for (int node = 0; node < nodeCount; node++)
        {
            int above = parents[node] < 0 ? -1 : labels[parents[node]];
            labels[node] = good[node] == 0 ? -1
                : above >= 0 && (good[node] >> above & 1) != 0 ? above
                : Own(node) is var content and >= 0 && (good[node] >> content & 1) != 0 ? content
                : BitOperations.TrailingZeroCount(good[node]);
            if (above >= 0 && labels[node] == above)
            {
                wanting[parents[node]]++;
            }
        }
    }

    private int Own(int node) => heirOf[node] < 0 ? -1 : contents[heirOf[node]];

    /// <summary>Writes down what that means for a range.</summary>
    private void Note(AddressRange range, int span)
    {
        for (int node = 0; node < nodes.Count; node++)
        {
            int inherited = parents[node] < 0 ? -1 : holds[parents[node]];
            holds[node] = inherited;
            bool fills = labels[node] >= 0 && labels[node] != inherited && wanting[node] + (Own(node) == labels[node] ? 1 : 0) > 1;
            if (fills && results[node].Filled.Count < MostPieces)
            {
                holds[node] = labels[node];
                int source = Own(node) == labels[node] ? heirOf[node] : Array.IndexOf(contents, labels[node]);
                Append(results[node].Filled, range, heirs[source].Pid);
                Map(node, span);
            }

            if (holds[node] >= 0 && holds[node] == Own(node) && results[node].Right.Count < MostPieces)
            {
                Append(results[node].Right, range);
            }
        }
    }

    private void Map(int node, int span)
    {
        for (int above = node; above >= 0; above = parents[above])
        {
            if (mapped[above].Contains(span))
            {
                return;
            }
        }

        mapped[node].Add(span);
    }

    /// <summary>What is mapped in a process is there in all that it makes.</summary>
    private void Finish()
    {
        for (int node = 0; node < nodes.Count; node++)
        {
            HashSet<int> all = parents[node] < 0 ? [] : [.. mapped[parents[node]]];
            foreach (int span in mapped[node].Order())
            {
                if (all.Add(span))
                {
                    results[node].Mapped.Add(spans[span]);
                }
            }

            mapped[node] = all;
            results[node].Mappings.AddRange(all.Order().Select(span => spans[span].Range));
        }
    }

    private static void Append(List<AddressRange> ranges, AddressRange range)
    {
        if (ranges.Count > 0 && ranges[^1].End == range.Start)
        {
            ranges[^1] = ranges[^1] with { End = range.End };
        }
        else
        {
            ranges.Add(range);
        }
    }

    private static void Append(List<(AddressRange Range, int Pid)> pieces, AddressRange range, int pid)
    {
        if (pieces.Count > 0 && pieces[^1] is var last && last.Range.End == range.Start && last.Pid == pid)
        {
            pieces[^1] = (last.Range with { End = range.End }, pid);
        }
        else
        {
            pieces.Add((range, pid));
        }
    }
}
