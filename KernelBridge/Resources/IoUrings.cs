using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Rings of io_uring (io_uring_setup(2)). Through ptrace always refused, since neither what they are nor whether anything is in flight can be known; through the device captured while nothing is.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>Of the flags with which a ring was made fdinfo (<c>io_uring/fdinfo.c</c> of the kernel) shows but few. IORING_SETUP_SUBMIT_ALL, for one, changes what io_uring_enter(2) does with what follows a faulty
/// request. Who is preloaded does not see the call either: liburing makes it itself from 2.2 on, without the C library.</item>
/// <item>Requests in flight are shown while they are polled for only. How many were submitted and how many completions there were does not tell: requests may have several completions (multishot, zero-copy
/// sends), none (IOSQE_CQE_SKIP_SUCCESS), and those of other rings' messages come without one here (IORING_OP_MSG_RING).</item>
/// <item>Unlike the slots of Linux AIO (<see cref="AioContexts"/>), nothing can be tried: what is submitted moves counters of which programs keep copies of their own, and that cannot be moved back.</item>
/// <item>Registered buffers, files, restrictions and personalities are counted at most, and what a provided ring of buffers has lies with the kernel: a ring with any of these is refused through the device too.</item>
/// </list>
/// A restore makes a ring alike in the process that has it, lets it count on from where it was (<see cref="IRingKeeper.CountOn"/>), puts into the memory that it shares what was there, and maps that where it was.
/// </remarks>
internal sealed class IoUrings : IDescriptorKind
{
    /// <summary>Code of the refusal.</summary>
    public const string Code = "fd.io_uring";

    /// <summary>Code of the refusal of one with requests in flight, which may have none the next time.</summary>
    public const string Busy = "fd.io_uring.busy";

    /// <summary>How long it is waited for requests to end, milliseconds.</summary>
    public const int Patience = 250;

    // IORING_SETUP_… of include/uapi/linux/io_uring.h.
    private const uint Poll = 1 << 0, Thread = 1 << 1, Processor = 1 << 2, Size = 1 << 3, Clamp = 1 << 4, AttachWorkers = 1 << 5, Disabled = 1 << 6, SubmitAll = 1 << 7, Cooperative = 1 << 8,
        WorkFlag = 1 << 9, WideRequests = 1 << 10, WideCompletions = 1 << 11, SingleIssuer = 1 << 12, Deferred = 1 << 13, OwnMemory = 1 << 14, RegisteredOnly = 1 << 15, NoArray = 1 << 16;

    private const uint Known = Poll | Size | Clamp | AttachWorkers | Disabled | SubmitAll | Cooperative | WorkFlag | WideRequests | WideCompletions | SingleIssuer | Deferred | NoArray;

    private const string Name = "anon_inode:[io_uring]";
    private const string Alternative = "start the program so that it does without (UV_USE_IO_URING=0 for node, innodb_use_native_aio=0 for MariaDB; sysctl kernel.io_uring_disabled=2 for all)";
    private const uint MostRequests = 32768, MostCompletions = 65536;
    private const long RingsOffset = 0, RequestsOffset = 0x10000000;
    private const int MAP_SHARED = 1, ParametersSize = 120;
    private const ulong MAP_FIXED_NOREPLACE = 0x100000, MAP_NOTHING = 0x4022, Lowest = 0x1000, Highest = 0x7ffffffff000;

    /// <summary>Whether an area is memory that a ring shares with its program.</summary>
    public static bool IsMemory(MemoryMap map) => map.Shared && map.Name == Name;

    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("io_uring");

    public Refusal? Check(DescriptorFacts facts) => facts.Refuse(
        Code, "with which flags it was made, and whether requests are in flight, this kernel shows to nobody", $"capture it through the device (holdfast.bridge = device), close it before the checkpoint, or {Alternative}");

    public string? Caveat(DescriptorFacts facts) => $"captured if no request is in flight when it stands, or all end within {Patience} ms; restored where the module is";

    // What it is the keeper says (With).
    public OpenFileImage Capture(DescriptorFacts facts) => new UringImage { Flags = facts.Flags, Layout = UringLayout.Unknown, Rings = [], Entries = [] };

    /// <summary>Captures it; the process stands.</summary>
    /// <exception cref="BridgeException"><see cref="Code"/>, <see cref="Busy"/>, <c>device.ring</c>.</exception>
    public static OpenFileImage With(DescriptorFacts facts, OpenFileImage file, IRingKeeper keeper) => file is not UringImage ring ? file : facts.Ask(copy =>
    {
        if (Look(facts, copy, keeper, inFlight: true, out UringFacts? found) is { } refusal)
        {
            throw new BridgeException([refusal]);
        }

        UringImage image = ring with
        {
            Setup = found!.Setup & ~AttachWorkers,
            Requests = found.SqEntries,
            Completions = found.CqEntries,
            Taken = found.SqHead,
            Given = found.CqTail,
            Layout = found.Layout,
            Inode = facts.Identity.Inode,
            Features = HostFeatures(),
        };
        return image with { Rings = Read(copy, RingsOffset, image.RingsSize), Entries = Read(copy, RequestsOffset, image.EntriesSize) };
    });

    /// <summary>Why a ring cannot be captured by whoever keeps rings, or null.</summary>
    /// <param name="facts">A descriptor of it.</param>
    /// <param name="keeper">Who.</param>
    /// <param name="inFlight">Whether what is in flight counts.</param>
    public static Refusal? Look(DescriptorFacts facts, IRingKeeper keeper, bool inFlight) => facts.Ask(copy => Look(facts, copy, keeper, inFlight, out _));

    /// <summary>Waits until nothing is in flight, for as long as it is waited at most.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="numbers">Its descriptors of rings.</param>
    /// <param name="keeper">Who knows.</param>
    public static void Await(int pid, IReadOnlyList<int> numbers, IRingKeeper keeper)
    {
        long end = Environment.TickCount64 + Patience;
        foreach (int number in numbers)
        {
            (int copy, _) = Libc.CopyDescriptor(pid, number);
            try
            {
                while (copy >= 0 && ProcFs.TryLink($"/proc/self/fd/{copy}") == Name && keeper.TryRead(copy)?.InFlight > 0 && Environment.TickCount64 < end)
                {
                    _ = Libc.usleep(500);
                }
            }
            finally
            {
                _ = copy >= 0 ? Libc.close(copy) : 0;
            }
        }
    }

    /// <summary>What only shows across processes: one is to have each ring, and its memory.</summary>
    /// <param name="inspections">All processes.</param>
    /// <param name="keeper">Who knows of rings.</param>
    /// <param name="stand">Whether they stand: all that holds a ring is counted then.</param>
    public static IEnumerable<Refusal> Refusals(IReadOnlyList<ProcessInspection> inspections, IRingKeeper keeper, bool stand)
    {
        List<(DescriptorFacts Facts, ProcessInspection Process)> descriptors =
            [.. inspections.SelectMany(inspection => inspection.Descriptors.Where(facts => facts.IsAnonymous("io_uring")).Select(facts => (facts, inspection)))];
        List<(MemoryMap Map, ProcessInspection Process)> maps = [.. inspections.SelectMany(inspection => inspection.Maps.Where(IsMemory).Select(map => (map, inspection)))];
        foreach ((MemoryMap map, ProcessInspection process) in maps.Where(map => !descriptors.Exists(descriptor => descriptor.Process == map.Process && descriptor.Facts.Identity.Inode == map.Map.Inode)))
        {
            yield return process.View.Refuse(Code, $"memory {map.Start:x}-{map.End:x} of an io_uring", "its process has no descriptor of the ring", "close the ring, or keep its descriptor");
        }

        foreach (var ring in descriptors.GroupBy(descriptor => descriptor.Facts.Identity.Inode))
        {
            List<ProcessInspection> holders = [.. ring.Select(descriptor => descriptor.Process).Concat(maps.Where(map => map.Map.Inode == ring.Key).Select(map => map.Process)).Distinct()];
            DescriptorFacts first = ring.First().Facts;
            if (holders.Count > 1)
            {
                yield return first.Refuse(Code, $"{holders.Count} processes have it, since one was forked by another", "let those that do not use it close it and unmap its memory");
                continue;
            }

            // One reference is that of the descriptor by which it is asked.
            long known = ring.Count() + maps.Count(map => map.Map.Inode == ring.Key) + 1;
            if (stand && first.Ask(copy => keeper.TryRead(copy)?.References) is { } references && references > known)
            {
                yield return first.Refuse(Code, $"{references - known} more than its descriptors and mappings hold it: a registration of itself (IORING_REGISTER_RING_FDS), a message under way, or a process outside", "undo that");
            }
        }
    }

    /// <summary>Makes a ring that is new what it was, before its memory is mapped.</summary>
    /// <param name="pid">The process, as the host sees it.</param>
    /// <param name="number">Its descriptor of the ring.</param>
    /// <param name="image">What it was.</param>
    /// <param name="keeper">Who knows of rings.</param>
    /// <exception cref="BridgeException"><c>restore.io_uring</c>.</exception>
    public static void Finish(int pid, int number, UringImage image, IRingKeeper keeper)
    {
        (int copy, int error) = Libc.CopyDescriptor(pid, number);
        if (copy < 0)
        {
            throw new BridgeException("restore.io_uring", "making an io_uring", Errno.Text(error));
        }

        try
        {
            keeper.CountOn(copy, image.Taken, image.Given);
            Write(copy, RingsOffset, image.Rings, skip: (int)image.Layout.SqFlags);
            Write(copy, RequestsOffset, image.Entries, skip: null);
        }
        finally
        {
            _ = Libc.close(copy);
        }
    }

    /// <summary>
    /// Maps the memory of its rings where a process had it, which until then was kept free. The kernel takes no address for it (<c>io_uring_get_unmapped_area</c>): it gets the only place that is left.
    /// </summary>
    /// <param name="stub">The process.</param>
    /// <param name="memory">What it is to have.</param>
    /// <param name="descriptor">Its descriptor of an open file of the image.</param>
    /// <exception cref="BridgeException"><c>restore.io_uring</c>, <c>restore.call</c>.</exception>
    public static void Map(Stub stub, MemoryImage memory, Func<int, int> descriptor)
    {
        List<AreaImage> areas = [.. memory.Areas.Where(area => area.Kind == AreaKind.Uring)];
        if (areas.Count == 0)
        {
            return;
        }

        SyscallTape fill = stub.NewTape();
        List<(ulong Start, ulong Length)> gaps = [];
        ulong end = Lowest;
        foreach ((ulong start, ulong next) in MemoryMap.Read(stub.HostPid).Where(map => map.Start < Highest).Select(map => (map.Start, map.End)).Append((Highest, Highest)))
        {
            if (start > end)
            {
                gaps.Add((end, start - end));
                fill.Add("filling memory up", X64.Mmap, end, start - end, 0, MAP_NOTHING | MAP_FIXED_NOREPLACE, ulong.MaxValue, 0);
            }

            end = Math.Max(end, next);
        }

        stub.Run(fill);
        SyscallTape place = stub.NewTape();
        List<int> results = [];
        foreach (AreaImage area in areas)
        {
            place.Add($"room for {area.Start:x}-{area.End:x} of an io_uring", X64.Munmap, area.Start, area.Length);
            results.Add(place.Count);
            place.Add($"mapping {area.Start:x}-{area.End:x} of an io_uring", X64.Mmap, 0, area.Length, (ulong)area.Protection, MAP_SHARED, (ulong)descriptor(area.File), area.Offset);
        }

        foreach ((ulong start, ulong length) in gaps)
        {
            place.Add("freeing memory", X64.Munmap, start, length);
        }

        long[] placed = stub.Run(place);
        foreach ((AreaImage area, int result) in areas.Zip(results))
        {
            if ((ulong)placed[result] != area.Start)
            {
                throw new BridgeException("restore.io_uring", $"mapping memory of an io_uring at {area.Start:x}", $"the kernel put it at {placed[result]:x}");
            }
        }
    }

    /// <summary>What stands against making one here, as far as that can be tried: one alike is made and closed.</summary>
    /// <param name="image">What it was.</param>
    /// <param name="keeper">Who knows of rings.</param>
    public static Refusal? CheckRestore(UringImage image, IRingKeeper? keeper)
    {
        if (keeper is null)
        {
            return Refuse("only the module can let it count on from where it was, and it is not there, or does not know this kernel's rings", "restore where /dev/ckpt is");
        }

        byte[] parameters = Parameters(image);
        int made = Make(image.Requests, parameters);
        if (made < 0)
        {
            return Refuse($"this kernel makes none like it: {Errno.Text(Libc.LastError)}", "restore under the same kernel, with io_uring switched on (sysctl kernel.io_uring_disabled=0)");
        }

        try
        {
            uint features = FeaturesOf(parameters);
            return (image.Features & ~features) != 0 ? Refuse($"this kernel's lack what its program may use (features {image.Features & ~features:x})", "restore under the same kernel, or a newer one")
                : keeper.TryRead(made) is { } facts && facts.Layout == image.Layout && facts.SqEntries == image.Requests && facts.CqEntries == image.Completions ? null
                : Refuse("this kernel lays its memory out in another way than that of the snapshot", "restore under the same kernel");
        }
        finally
        {
            _ = Libc.close(made);
        }

        Refusal Refuse(string why, string remedy) => new(Code, 0, null, image.Description, why, remedy);
    }

    /// <summary>Composes what makes one.</summary>
    public static void Make(SyscallTape tape, int number, UringImage image)
    {
        tape.Add("making an io_uring", X64.IoUringSetup, image.Requests, tape.Place(Parameters(image)));
        RestoreContext.Place(tape, "an io_uring", number);
        RestoreContext.SetFlags(tape, "an io_uring", number, image.Flags);
    }

    /// <summary>Whether one of an image can be.</summary>
    public static bool IsValid(UringImage image) =>
        (image.Setup & ~Known) == 0 && IsPower(image.Requests, MostRequests) && IsPower(image.Completions, MostCompletions) && image.Completions >= image.Requests && image.Layout is not null
        && image.Layout.SqArray is null == ((image.Setup & NoArray) != 0) && image is { Rings: not null, Entries: not null }
        && new uint?[] { image.Layout.SqFlags, image.Layout.Cqes, image.Layout.SqArray }.All(at => at is null or < 1 << 24)
        && image.Rings.Length == image.RingsSize && image.Entries.Length == image.EntriesSize && image.Layout.SqFlags + 4 <= image.RingsSize;

    /// <summary>Bytes of a request and of a completion.</summary>
    internal static (int Request, int Completion) Sizes(uint setup) => ((setup & WideRequests) != 0 ? 128 : 64, (setup & WideCompletions) != 0 ? 32 : 16);

    private static byte[] Parameters(UringImage image)
    {
        // struct io_uring_params.
        byte[] parameters = new byte[ParametersSize];
        MemoryMarshal.Write(parameters.AsSpan(4), image.Completions);
        MemoryMarshal.Write(parameters.AsSpan(8), image.Setup | Size);
        return parameters;
    }

    private static uint FeaturesOf(byte[] parameters) => MemoryMarshal.Read<uint>(parameters.AsSpan(20));

    private static unsafe int Make(uint requests, byte[] parameters)
    {
        fixed (byte* at = parameters)
        {
            return (int)Libc.Call(X64.IoUringSetup, requests, (long)at);
        }
    }

    /// <summary>What this kernel tells whoever makes a ring that its rings can.</summary>
    private static uint HostFeatures()
    {
        byte[] parameters = new byte[ParametersSize];
        int made = Make(1, parameters);
        if (made < 0)
        {
            throw new BridgeException(Code, "asking this kernel for io_uring", Errno.Text(Libc.LastError), "sysctl kernel.io_uring_disabled=0");
        }

        _ = Libc.close(made);
        return FeaturesOf(parameters);
    }

    private static bool IsPower(uint number, uint most) => number > 0 && number <= most && (number & (number - 1)) == 0;

    private static Refusal? Look(DescriptorFacts facts, int copy, IRingKeeper keeper, bool inFlight, out UringFacts? ring)
    {
        ring = keeper.TryRead(copy);
        string? why = ring switch
        {
            null => "the module does not know this kernel's rings",
            _ when (ring.Setup & (Thread | Processor)) != 0 => "a thread of the kernel's own submits for it (IORING_SETUP_SQPOLL)",
            _ when (ring.Setup & (OwnMemory | RegisteredOnly)) != 0 => "its memory is the program's own (IORING_SETUP_NO_MMAP)",
            _ when (ring.Setup & ~Known) != 0 => $"it was made with flags that are not known ({ring.Setup & ~Known:x})",
            _ when ring.Registered.Count > 0 => $"it has {string.Join(", ", ring.Registered)}, which show to nobody",
            _ when (ring.Setup & (SingleIssuer | Disabled)) == SingleIssuer && ring.Issuer != facts.Pid => "it was made by another thread than the first of its process, which alone may submit (IORING_SETUP_SINGLE_ISSUER)",
            _ => null,
        };
        if (why is not null)
        {
            return facts.Refuse(Code, why, $"close it before the checkpoint, or {Alternative}");
        }

        return !inFlight ? null
            : ring!.InFlight != 0 ? facts.Refuse(Busy, $"{ring.InFlight} requests are in flight", "let them end, and try again")
            : ring.Overflown ? facts.Refuse(Busy, "it had no room for completions, which wait", "take completions out, and try again")
            : null;
    }

    private static unsafe byte[] Read(int ring, long offset, int length)
    {
        nint at = Shared(ring, offset, length, Libc.PROT_READ);
        byte[] bytes = new Span<byte>((void*)at, length).ToArray();
        _ = Libc.munmap(at, (nuint)length);
        return bytes;
    }

    private static unsafe void Write(int ring, long offset, byte[] bytes, int? skip)
    {
        nint at = Shared(ring, offset, bytes.Length, Libc.PROT_READ | Libc.PROT_WRITE);
        Span<byte> memory = new((void*)at, bytes.Length);
        if (skip is { } flags)
        {
            // The kernel's own, about what is in flight.
            bytes.AsSpan(0, flags).CopyTo(memory);
            bytes.AsSpan(flags + 4).CopyTo(memory[(flags + 4)..]);
        }
        else
        {
            bytes.CopyTo(memory);
        }

        _ = Libc.munmap(at, (nuint)bytes.Length);
    }

    private static nint Shared(int ring, long offset, int length, int protection)
    {
        nint at = Libc.mmap(0, (nuint)length, protection, MAP_SHARED, ring, offset);
        return at != -1 ? at : throw new BridgeException("device.ring", "mapping the memory of an io_uring", Errno.Text(Libc.LastError));
    }
}

/// <summary>A ring of io_uring in which nothing is in flight.</summary>
internal sealed record UringImage : OpenFileImage
{
    /// <summary>IORING_SETUP_….</summary>
    public uint Setup { get; init; }

    /// <summary>Places for requests, a power of 2.</summary>
    public uint Requests { get; init; }

    /// <summary>Places for completions, a power of 2.</summary>
    public uint Completions { get; init; }

    /// <summary>Requests that the kernel has taken, modulo 2^32.</summary>
    public uint Taken { get; init; }

    /// <summary>Completions that it has given, modulo 2^32.</summary>
    public uint Given { get; init; }

    /// <summary>IORING_FEAT_… of the kernel that made it, on which the program may build.</summary>
    public uint Features { get; init; }

    /// <summary>Tells it from others.</summary>
    public ulong Inode { get; init; }

    /// <summary>Where in its memory what lies.</summary>
    public required UringLayout Layout { get; init; }

    /// <summary>Its memory at IORING_OFF_SQ_RING: counters, completions, and which requests are to be taken.</summary>
    public required byte[] Rings { get; init; }

    /// <summary>Its memory at IORING_OFF_SQES: requests.</summary>
    public required byte[] Entries { get; init; }

    public override string Description => $"io_uring of {Requests} requests";

    internal int RingsSize => (int)Math.Max(Layout.Cqes + (Completions * (uint)IoUrings.Sizes(Setup).Completion), Layout.SqArray is { } array ? array + (Requests * 4) : 0);

    internal int EntriesSize => (int)Requests * IoUrings.Sizes(Setup).Request;

    public override bool OpenedLate => true;

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => IoUrings.CheckRestore(this, checks.Rings) is { } refusal ? [refusal] : [];

    /// <summary>Nothing: it is made by the process that has it, which alone may be allowed to submit.</summary>
    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
    }

    public override void OpenLate(SyscallTape tape, int number) => IoUrings.Make(tape, number, this);
}
