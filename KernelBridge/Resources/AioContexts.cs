using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>A context of Linux AIO (io_setup(2)), in which nothing is in flight.</summary>
/// <param name="Address">Where its ring lies, which is its number too.</param>
/// <param name="Head">Which of the ring's places holds the oldest event.</param>
/// <param name="Events">Events that nobody has taken out, the oldest first: <c>struct io_event</c> each.</param>
internal sealed record AioContextImage(ulong Address, uint Head, byte[] Events);

/// <summary>
/// Contexts of Linux AIO (<c>fs/aio.c</c> of the kernel). Their ring of events is memory of the process. What is in flight shows nowhere: code inside the process finds it out
/// (<c>Spaces/requests.c</c>), when all threads stand; what ends within <see cref="Patience"/> is waited for. A restore makes a context of the same size, lets as many requests
/// go through it as brings the kernel's own end of the ring to where it was, and moves it to its address.
/// </summary>
internal static class AioContexts
{
    /// <summary>Code of refusals.</summary>
    public const string Code = "memory.aio";

    /// <summary>What a check says of a context.</summary>
    public const string Caveat = "captured if no request is in flight when it stands, or all end within 250 ms; a call of io_getevents(2) that waits with events taken already returns these";

    private const string Name = "/[aio]";
    private const uint Magic = 0xa10a10a1;
    private const int PageSize = 4096, EventSize = 32, PerPage = PageSize / EventSize, HeadAt = 8, Batch = 64;
    private const ulong MREMAP_MAYMOVE_FIXED = 3, MAP_NOTHING = 0x100022;

    // struct count of requests.c.
    private const int Size = 10328, TakenAt = 12, FoundLength = 12;
    private const int Patience = 250;

    // A context of 2^23 events has that many pages.
    private const ulong MostPages = (1 << 16) + 1;

    private static readonly byte[] code = FlatProgram.Load("requests.bin");

    /// <summary>Whether an area is the ring of a context.</summary>
    public static bool IsRing(MemoryMap map) => map.Shared && map.Name.StartsWith(Name, StringComparison.Ordinal);

    /// <summary>Why a ring cannot be that of a context, as far as that shows from outside.</summary>
    public static Refusal? Check(ProcessView view, MemoryMap map)
    {
        byte[] header = new byte[EventSize];
        using TargetMemory memory = new(view.Pid);
        if (map.Offset != 0 || memory.TryRead(map.Start, header) != header.Length)
        {
            return Refuse(view, map.Start, "its ring cannot be read: a part of it is mapped, or the context has ended with the process that made it", "unmap it");
        }

        ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(header);
        return words[1] != Places(map.Length) || words[2] >= words[1] || words[3] >= words[1] || words[4] != Magic || words[6] != 0 || words[7] != EventSize
            ? Refuse(view, map.Start, "its ring is not as the kernel made it", "leave its memory as it is")
            : null;
    }

    /// <summary>A process that fork(2) has made has the rings of its parent mapped, and not their contexts.</summary>
    public static IEnumerable<Refusal> Inherited(IReadOnlyList<ProcessInspection> inspections) =>
        inspections.SelectMany(inspection => inspection.Maps.Where(IsRing).Select(map => (inspection.View, Map: map)))
            .GroupBy(ring => ring.Map.Inode).Where(same => same.Count() > 1)
            .SelectMany(same => same.Select(ring => Refuse(ring.View, ring.Map.Start, "several processes have its ring mapped, since one was forked after io_setup(2)", "unmap it in those that do not have the context")));

    /// <summary>The contexts of a stopped process.</summary>
    /// <exception cref="BridgeException"><see cref="Code"/>: something is in flight, or there is no such context.</exception>
    public static IReadOnlyList<AioContextImage> Capture(ProcessView view, IReadOnlyList<Area> areas, InjectedCalls calls) =>
        [.. areas.Where(area => area.Kind == AreaKind.RequestRing).Select(area => Capture(view, area.Map, calls))];

    /// <summary>The contexts of a process that stands, by who knows what is in flight.</summary>
    /// <exception cref="BridgeException"><see cref="Code"/>: something is in flight, or there is no such context.</exception>
    public static IReadOnlyList<AioContextImage> Capture(ProcessView view, IReadOnlyList<Area> areas, IRingKeeper keeper) =>
        [.. areas.Where(area => area.Kind == AreaKind.RequestRing).Select(area => Capture(view, area.Map, keeper))];

    /// <summary>What this host cannot make.</summary>
    public static IEnumerable<Refusal> CheckRestore(IEnumerable<ProcessImage> processes)
    {
        List<(int Pid, AioContextImage Context, ulong Pages)> contexts =
            [.. processes.SelectMany(process => process.Memory!.AioContexts.Select(context => (process.Pid, context, RingOf(process.Memory, context)!.Length / PageSize)))];
        if (contexts.Count == 0)
        {
            yield break;
        }

        // As the kernel does: two places for each request, and not less than four requests for each processor.
        ulong least = (((ulong)Processors() * 4 * 2) + 2 + PerPage) / PerPage;
        if (contexts.Find(context => context.Pages < least) is { Context: { } small } found)
        {
            yield return new Refusal(Code, found.Pid, null, What(small.Address), $"its ring has {found.Pages} pages, and with as many processors as this host may have it has {least} at least", "restore on a host with fewer processors");
        }

        long Read(string name) => long.TryParse(ProcFs.TryText($"/proc/sys/fs/{name}"), CultureInfo.InvariantCulture, out long value) ? value : 0;
        long needed = contexts.Sum(context => (long)Requests(context.Pages));
        if (Read("aio-nr") + needed > Read("aio-max-nr"))
        {
            yield return new Refusal(
                Code, contexts[0].Pid, null, "contexts of Linux AIO", $"{needed} requests are needed, and {Read("aio-nr")} of {Read("aio-max-nr")} are taken", $"sysctl fs.aio-max-nr={Read("aio-nr") + needed}");
        }
    }

    /// <summary>Makes the contexts of a process whose other memory stands.</summary>
    /// <param name="stub">The process.</param>
    /// <param name="memory">What it is to have.</param>
    /// <exception cref="BridgeException"><c>restore.aio</c>, <c>restore.call</c>.</exception>
    public static void Restore(Stub stub, MemoryImage memory)
    {
        foreach (AioContextImage context in memory.AioContexts)
        {
            Restore(stub, context, RingOf(memory, context)!.Length);
        }
    }

    /// <summary>Composes what keeps the place of a ring free until it is moved there.</summary>
    public static void Reserve(AreaImage area, string purpose, SyscallTape tape) => tape.Add(purpose, X64.Mmap, area.Start, area.Length, 0, MAP_NOTHING, ulong.MaxValue, 0);

    /// <summary>Whether the contexts of an image can be: one for each ring, with places for its events.</summary>
    public static bool AreValid(MemoryImage memory) =>
        memory.AioContexts.All(context => context is { Events: not null } && RingOf(memory, context) is { } ring && context.Head < Places(ring.Length)
            && context.Events.Length % EventSize == 0 && (ulong)(context.Events.Length / EventSize) < Places(ring.Length))
        && memory.AioContexts.DistinctBy(context => context.Address).Count() == memory.AioContexts.Count
        && memory.Areas.Where(area => area.Kind == AreaKind.RequestRing).All(area => area.Length / PageSize <= MostPages && memory.AioContexts.Any(context => context.Address == area.Start));

    private static AreaImage? RingOf(MemoryImage memory, AioContextImage context) => memory.Areas.FirstOrDefault(area => area.Kind == AreaKind.RequestRing && area.Start == context.Address);

    /// <summary>Places of a ring: the first of the size of one holds its header.</summary>
    private static ulong Places(ulong length) => (length / EventSize) - 1;

    private static AioContextImage Capture(ProcessView view, MemoryMap map, InjectedCalls calls)
    {
        uint places = (uint)Places(map.Length);
        uint batch = Math.Max(1, (places - 1) / ((uint)Processors() * 4));
        uint slots = (places - 1) / batch * batch;
        long end = Environment.TickCount64 + Patience;
        while (true)
        {
            (uint taken, uint waiting) = Count(view, map, places, calls);
            uint tail = Tail(map, calls);
            long flying = slots - (long)taken - waiting;
            if (flying == 0)
            {
                return Image(map, calls.Read(map.Start, (int)map.Length), (tail + places - waiting) % places, waiting);
            }

            while (flying > 0 && (Tail(map, calls) + places - tail) % places < flying && Environment.TickCount64 < end)
            {
                _ = Libc.usleep(200);
            }

            if (flying < 0 || Environment.TickCount64 >= end)
            {
                throw new BridgeException([Refuse(
                    view, map.Start, flying < 0 ? "this kernel counts its requests in a way that is not known" : $"{flying} requests are in flight, or were set aside for processors that are offline or outside its cpuset",
                    "let them end (io_getevents), and try again")]);
            }
        }
    }

    private static AioContextImage Capture(ProcessView view, MemoryMap map, IRingKeeper keeper)
    {
        long end = Environment.TickCount64 + Patience;
        long? flying;
        while ((flying = keeper.TryCountInFlight(view.Pid, map.Start)) > 0 && Environment.TickCount64 < end)
        {
            _ = Libc.usleep(200);
        }

        if (flying != 0)
        {
            throw new BridgeException([flying is null
                ? Refuse(view, map.Start, "the process has its ring mapped but not the context: it was made by the one that forked it", "unmap it")
                : Refuse(view, map.Start, $"{flying} requests are in flight", "let them end (io_getevents), and try again")]);
        }

        byte[] ring = new byte[map.Length];
        using (TargetMemory memory = new(view.Pid))
        {
            memory.Read(map.Start, ring);
        }

        // As Check has seen them, less than there are places.
        (uint head, uint tail, uint places) = (MemoryMarshal.Read<uint>(ring.AsSpan(HeadAt)), MemoryMarshal.Read<uint>(ring.AsSpan(HeadAt + 4)), (uint)Places(map.Length));
        return head < places && tail < places ? Image(map, ring, head, (tail + places - head) % places)
            : throw new BridgeException([Refuse(view, map.Start, "its ring is not as the kernel made it", "leave its memory as it is")]);
    }

    /// <summary>What the ring of a context in which nothing is in flight holds.</summary>
    private static AioContextImage Image(MemoryMap map, byte[] ring, uint head, uint waiting)
    {
        uint places = (uint)Places(map.Length);
        byte[] events = new byte[waiting * EventSize];
        for (uint i = 0; i < waiting; i++)
        {
            ring.AsSpan((int)(1 + ((head + i) % places)) * EventSize, EventSize).CopyTo(events.AsSpan((int)i * EventSize));
        }

        return new AioContextImage(map.Start, head, events);
    }

    private static uint Tail(MemoryMap map, InjectedCalls calls) => BinaryPrimitives.ReadUInt32LittleEndian(calls.Read(map.Start + HeadAt + 4, 4));

    /// <summary>Counts the slots that are free, and the events that wait.</summary>
    private static (uint Taken, uint Waiting) Count(ProcessView view, MemoryMap map, uint places, InjectedCalls calls)
    {
        ulong at = InjectedCalls.FindRoom(view.Pid, Size);
        (InjectedCall data, InjectedCall program, InjectedCall unmap) = InjectedCalls.Room(at, Size);
        try
        {
            long mapped = calls.Begin(data, program, unmap);
            long second = calls.Next();
            if (mapped != (long)at || second != (long)InjectedCalls.CodeAt(at, Size))
            {
                throw new BridgeException(Code, $"looking at {What(map.Start)} of process {view.InnerPid}", $"making room: {Errno.Text((int)-Math.Min(mapped < 0 ? mapped : second, -1))}", "try again");
            }

            byte[] count = new byte[24];
            BinaryPrimitives.WriteUInt64LittleEndian(count, map.Start);
            BinaryPrimitives.WriteUInt32LittleEndian(count.AsSpan(8), places);
            calls.Write(at, count);
            calls.RunCode(
                code, InjectedCalls.CodeAt(at, Size),
                [
                    new InjectedCall(X64.MemfdCreate), new InjectedCall(X64.IoSubmit, map.Start), new InjectedCall(X64.SchedGetaffinity), new InjectedCall(X64.SchedSetaffinity),
                    new InjectedCall(X64.Clone), new InjectedCall(X64.Wait4), new InjectedCall(X64.Exit), new InjectedCall(X64.Close),
                ],
                registers => registers with { Rdi = at },
                () => count = calls.Read(at + TakenAt, FoundLength));
            int error = BinaryPrimitives.ReadInt32LittleEndian(count.AsSpan(8));
            return error == 0
                ? (BinaryPrimitives.ReadUInt32LittleEndian(count), BinaryPrimitives.ReadUInt32LittleEndian(count.AsSpan(4)))
                : throw new BridgeException([error == -Errno.EINVAL
                    ? Refuse(view, map.Start, "the process has its ring mapped but not the context: it was made by the one that forked it", "unmap it")
                    : Refuse(view, map.Start, $"what is in flight cannot be found out: {Errno.Text(-error)}", "raise its limit of descriptors and processes, and try again")]);
        }
        finally
        {
            calls.FinishRow();
        }
    }

    private static void Restore(Stub stub, AioContextImage context, ulong length)
    {
        string what = What(context.Address);
        uint places = (uint)Places(length);
        uint waiting = (uint)(context.Events.Length / EventSize);
        SyscallTape make = stub.NewTape();
        (ulong number, ulong affinity, ulong name) = (make.Reserve(8), make.Reserve(1024), make.Place("aio"));
        make.Add("processors", X64.SchedGetaffinity, 0, 1024, affinity);
        make.Add($"making {what}", X64.IoSetup, Requests(length / PageSize), number);
        make.Add($"a file for {what}", X64.MemfdCreate, name, 0);
        long[] results = stub.Run(make);
        ulong made = stub.Memory.Read<ulong>(number);
        byte[] allowed = new byte[results[0]];
        stub.Memory.Read(affinity, allowed);
        byte[] one = new byte[allowed.Length];
        int first = Array.FindIndex(allowed, bits => bits != 0);
        one[first] = (byte)(allowed[first] & -allowed[first]);

        // On one processor, so that nothing is set aside for others. What is taken out of the ring gives way to what follows.
        SyscallTape turn = stub.NewTape();
        byte[] request = new byte[64];
        BinaryPrimitives.WriteUInt32LittleEndian(request.AsSpan(20), (uint)results[2]);
        ulong at = turn.Place(request);
        ulong requests = turn.Place(MemoryMarshal.AsBytes<ulong>(Enumerable.Repeat(at, Batch).ToArray()));
        ulong room = turn.Reserve(Batch * EventSize);
        turn.Add("one processor", X64.SchedSetaffinity, 0, (ulong)one.Length, turn.Place(one));
        for (uint done = 0; done < context.Head + waiting;)
        {
            bool taken = done < context.Head;
            uint count = Math.Min(Batch, (taken ? context.Head : context.Head + waiting) - done);
            turn.Add($"turning the ring of {what}", X64.IoSubmit, made, count, requests);
            if (taken)
            {
                turn.Add($"turning the ring of {what}", X64.IoGetevents, made, 0, count, room, 0);
            }

            done += count;
        }

        turn.Add("processors", X64.SchedSetaffinity, 0, (ulong)allowed.Length, turn.Place(allowed));
        turn.Add($"closing the file for {what}", X64.Close, (ulong)results[2]);
        turn.Add($"moving {what}", X64.Mremap, made, length, length, MREMAP_MAYMOVE_FIXED, context.Address);
        stub.Run(turn);
        ReadOnlySpan<uint> header = [stub.Memory.Read<uint>(context.Address + 4), stub.Memory.Read<uint>(context.Address + HeadAt), stub.Memory.Read<uint>(context.Address + HeadAt + 4)];
        if (header[0] != places || header[1] != context.Head || header[2] != (context.Head + waiting) % places)
        {
            throw new BridgeException("restore.aio", $"making {what} in process {stub.HostPid}", $"its ring came to {header[1]}, {header[2]} of {header[0]} places");
        }

        for (uint i = 0; i < waiting; i++)
        {
            stub.Memory.Write(context.Address + ((1 + ((context.Head + i) % places)) * EventSize), context.Events.AsSpan((int)i * EventSize, EventSize));
        }
    }

    /// <summary>The least number of requests for which the kernel makes a ring of that many pages.</summary>
    private static ulong Requests(ulong pages) => pages == 1 ? 1 : ((pages - 1) * (PerPage / 2)) - 1;

    /// <summary>Processors that there may ever be: num_possible_cpus.</summary>
    private static int Processors() => ProcFs.Text("/sys/devices/system/cpu/possible").Trim().Split(',').Sum(part =>
    {
        int[] bounds = [.. part.Split('-').Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
        return bounds[^1] - bounds[0] + 1;
    });

    private static string What(ulong address) => $"context {address:x} of Linux AIO";

    private static Refusal Refuse(ProcessView view, ulong address, string why, string remedy) => new(Code, view.InnerPid, null, What(address), why, remedy);
}
