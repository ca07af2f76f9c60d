using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Epoll descriptors with what they watch; see epoll(7). An entry stands for an open file under the number by which it was added; the number may
/// name another file by now, or none, as long as somebody holds the file.
/// </summary>
internal sealed class EpollSets : IDescriptorKind
{
    /// <summary>EPOLLET, EPOLLONESHOT, EPOLLWAKEUP, EPOLLEXCLUSIVE. What has none but these is an entry of EPOLLONESHOT that has reported.</summary>
    public const uint Modes = 0xf0000000, EdgeTriggered = 0x80000000;

    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("eventpoll");

    public Refusal? Check(DescriptorFacts facts) => null;

    public string? Caveat(DescriptorFacts facts)
    {
        List<Entry> entries = Parse(facts);
        return entries.Exists(entry => (entry.Events & EdgeTriggered) != 0)
            ? "its edge-triggered entries report once more after a restore what is ready then"
            : entries.Exists(entry => (entry.Events & ~Modes) == 0)
                ? "an entry of EPOLLONESHOT that has reported may report a hang-up or an error after a restore"
                : null;
    }

    /// <summary>The entries are filled in by <see cref="Resolve"/>, when all processes are known.</summary>
    public OpenFileImage Capture(DescriptorFacts facts) => new EpollImage { Flags = facts.Flags, Entries = [] };

    /// <summary>Entries whose file nobody in the application holds any more.</summary>
    /// <param name="all">Every descriptor of the application.</param>
    public static IEnumerable<Refusal> Refusals(IReadOnlyList<DescriptorFacts> all)
    {
        ILookup<ulong, DescriptorFacts> byInode = all.ToLookup(facts => facts.Identity.Inode);
        foreach (DescriptorFacts epoll in all.Where(facts => facts.IsAnonymous("eventpoll")))
        {
            foreach ((Entry entry, DescriptorFacts? target) in Resolve(epoll, byInode, all))
            {
                if (target is null)
                {
                    yield return epoll.Refuse(
                        "fd.epoll", $"it watches a file, added as descriptor {entry.Number}, that no process of the application holds any more",
                        "remove it from the set (EPOLL_CTL_DEL) before closing it, or close its last copy");
                }
            }
        }
    }

    /// <summary>For every entry of a set, a descriptor of the application that refers to its file; null when there is none.</summary>
    /// <param name="epoll">The set.</param>
    /// <param name="byInode">Every descriptor of the application by inode.</param>
    /// <param name="all">The same.</param>
    public static List<(Entry Entry, DescriptorFacts? Target)> Resolve(
        DescriptorFacts epoll, ILookup<ulong, DescriptorFacts> byInode, IReadOnlyList<DescriptorFacts> all)
    {
        List<(Entry, DescriptorFacts?)> resolved = [];
        Dictionary<int, int> before = [];
        foreach (Entry entry in Parse(epoll))
        {
            // Several entries may have one number; the kernel counts them in the order in which fdinfo shows them.
            int nth = before.GetValueOrDefault(entry.Number);
            before[entry.Number] = nth + 1;
            bool gone = false;
            DescriptorFacts? target = byInode[entry.Inode].OrderBy(facts => facts.Pid != epoll.Pid || facts.Number != entry.Number).FirstOrDefault(Refers)

                // File systems in layers show another inode.
                ?? (gone ? null : all.FirstOrDefault(facts => facts.Identity.Inode != entry.Inode && Refers(facts)));
            if (!gone)
            {
                resolved.Add((entry, target));
            }

            bool Refers(DescriptorFacts facts)
            {
                int result = Compare(facts, epoll, entry.Number, nth);
                // A process that runs (a check) may have removed it since.
                gone |= result < 0 && Libc.LastError == Errno.ENOENT;
                return result == 0;
            }
        }

        return resolved;
    }

    private static unsafe int Compare(DescriptorFacts facts, DescriptorFacts epoll, int number, int nth)
    {
        (int Epoll, int Number, int Nth) slot = (epoll.Number, number, nth);
        return Libc.kcmp(facts.Pid, epoll.Pid, Libc.KCMP_EPOLL_TFD, facts.Number, (nint)(&slot));
    }

    private static List<Entry> Parse(DescriptorFacts epoll)
    {
        List<Entry> entries = [];
        foreach (string line in epoll.Info.Split('\n'))
        {
            // tfd:        3 events: 40000000 data:                3  pos:0 ino:40e sdev:10
            if (line.StartsWith("tfd:", StringComparison.Ordinal))
            {
                string[] words = line.Replace(":", ": ", StringComparison.Ordinal).Split(' ', StringSplitOptions.RemoveEmptyEntries);
                string Value(string name) => words[Array.IndexOf(words, name + ":") + 1];
                entries.Add(new Entry(
                    int.Parse(Value("tfd"), CultureInfo.InvariantCulture), Hex(Value("events")), ulong.Parse(Value("data"), NumberStyles.HexNumber, CultureInfo.InvariantCulture),
                    ulong.Parse(Value("ino"), NumberStyles.HexNumber, CultureInfo.InvariantCulture)));
            }
        }

        return entries;
    }

    private static uint Hex(string text) => uint.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    /// <summary>A line of fdinfo.</summary>
    internal readonly record struct Entry(int Number, uint Events, ulong Data, ulong Inode);
}

/// <summary>An epoll descriptor.</summary>
internal sealed record EpollImage : OpenFileImage
{
    private const uint Anything = 0x27df;
    private const ulong Add = 1, Modify = 3;

    public required IReadOnlyList<EpollEntryImage> Entries { get; init; }

    public override string Description => $"epoll of {Entries.Count} descriptors";

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        tape.Add("making an epoll descriptor", X64.EpollCreate1, 0);
        RestoreContext.Place(tape, "an epoll descriptor", number);
        RestoreContext.SetFlags(tape, "an epoll descriptor", number, Flags);
    }

    /// <summary>Composes what adds an entry, under its own number, in a process where that number is free.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="epoll">Number under which the builder has the set.</param>
    /// <param name="file">Number under which the builder has the file.</param>
    public static void AddEntry(SyscallTape tape, EpollEntryImage entry, int epoll, int file)
    {
        tape.Add("number of an epoll entry", X64.Dup2, (ulong)file, (ulong)entry.Number);
        tape.Add($"adding descriptor {entry.Number} to an epoll set", X64.EpollCtl, (ulong)epoll, Add, (ulong)entry.Number, tape.Place(Event(entry.Events, entry.Data)));
        tape.Add("number of an epoll entry", X64.Close, (ulong)entry.Number);
    }

    /// <summary>
    /// The same for an entry that has reported and waits to be armed again: it is added for anything, and reports what is ready.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="epoll">Number under which the builder has the set, which has no armed entries yet.</param>
    /// <param name="file">Number under which the builder has the file.</param>
    /// <param name="makeReady">Composes what makes it ready, and what undoes that; null when it is ready anyway, or cannot be made so.</param>
    /// <returns>The record whose result is 1 when that came about.</returns>
    public static int AddReported(SyscallTape tape, EpollEntryImage entry, int epoll, int file, (Action Make, Action Undo)? makeReady)
    {
        tape.Add("number of an epoll entry", X64.Dup2, (ulong)file, (ulong)entry.Number);
        makeReady?.Make();
        tape.Add(
            $"adding descriptor {entry.Number} to an epoll set", X64.EpollCtl, (ulong)epoll, Add, (ulong)entry.Number, tape.Place(Event(entry.Events | Anything, entry.Data)));
        int record = tape.Count;
        tape.Add("letting an epoll entry report", X64.EpollWait, (ulong)epoll, tape.Reserve(16), 1, 0);
        makeReady?.Undo();
        return record;
    }

    /// <summary>Composes the end of that: the number goes; what has not reported is left with what the kernel always reports, errors and hang-ups.</summary>
    public static void FinishReported(SyscallTape tape, EpollEntryImage entry, int epoll, bool reported)
    {
        if (!reported)
        {
            tape.Add("an epoll entry that waits", X64.EpollCtl, (ulong)epoll, Modify, (ulong)entry.Number, tape.Place(Event(entry.Events, entry.Data)));
        }

        tape.Add("number of an epoll entry", X64.Close, (ulong)entry.Number);
    }

    /// <summary><c>struct epoll_event</c>, which has no padding on x86-64.</summary>
    private static byte[] Event(uint events, ulong data)
    {
        byte[] bytes = new byte[12];
        MemoryMarshal.Write(bytes, events);
        MemoryMarshal.Write(bytes.AsSpan(4), data);
        return bytes;
    }
}

/// <summary>What an epoll descriptor watches.</summary>
/// <param name="Number">The descriptor's number when it was added.</param>
/// <param name="Events">Events and modes.</param>
/// <param name="Data">What is handed back with them.</param>
/// <param name="File">Index into <see cref="ApplicationImage.OpenFiles"/>.</param>
internal sealed record EpollEntryImage(int Number, uint Events, ulong Data, int File);
