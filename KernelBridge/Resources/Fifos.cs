using System.Text.Json.Serialization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Pipes with a name in the file system, with the bytes in them; see fifo(7).</summary>
internal sealed class Fifos : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.Fifo && facts.Link.StartsWith('/');

    public Refusal? Check(DescriptorFacts facts) =>
        facts.Deleted ? facts.Refuse("fifo.deleted", "the FIFO was removed", "close it before the checkpoint")
        : (FileIdentity.TryOf($"/proc/{facts.Pid}/root{facts.Path}") ?? FileIdentity.TryOf(facts.Path))?.SameFile(facts.Identity) == true ? null
        : facts.Refuse("file.hidden", "its path leads to another file now", "close it, or put the file back");

    public OpenFileImage Capture(DescriptorFacts facts) => new FifoImage { Flags = facts.Flags, Path = facts.Path, HungUp = facts.Ask(HungUp) };

    /// <summary>FIFOs that somebody outside the application has open too.</summary>
    /// <param name="all">Every descriptor of the application.</param>
    /// <param name="pids">Host pids of the application.</param>
    public static IEnumerable<Refusal> Refusals(IReadOnlyList<DescriptorFacts> all, IReadOnlySet<int> pids)
    {
        foreach (DescriptorFacts facts in all.Where(facts => DescriptorKinds.Of(facts) is Fifos).DistinctBy(facts => (facts.Identity.Device, facts.Identity.Inode)))
        {
            if (Holder(facts.Path, facts.Identity, pids) is { } pid)
            {
                yield return facts.Refuse(
                    "fifo.outside", $"process {pid} ({ProcessStat.TryRead(pid)?.Name}), which is not part of the application, has it open too", "close it, or run both processes in one application");
            }
        }
    }

    /// <summary>A process that has a FIFO open, or null.</summary>
    public static int? Holder(string path, FileIdentity identity, IReadOnlySet<int> except)
    {
        foreach (int pid in ProcFs.Numbers("/proc").Where(pid => !except.Contains(pid)))
        {
            foreach (int number in ProcFs.Numbers($"/proc/{pid}/fd"))
            {
                if (ProcFs.TryLink($"/proc/{pid}/fd/{number}") == path && FileIdentity.TryOf($"/proc/{pid}/fd/{number}")?.SameFile(identity) == true)
                {
                    return pid;
                }
            }
        }

        return null;
    }

    /// <summary>Whether a reader sees that the last writer has gone; one that never had a writer does not.</summary>
    private static unsafe bool HungUp(int descriptor)
    {
        const ulong POLLIN = 1, POLLHUP = 0x10;
        ulong question = (uint)descriptor | POLLIN << 32;
        return Libc.poll(&question, 1, 0) > 0 && (question >> 48 & POLLHUP) != 0;
    }
}

/// <summary>An open FIFO.</summary>
internal sealed record FifoImage : OpenFileImage
{
    public required string Path { get; init; }

    /// <summary>POLLHUP of poll(2).</summary>
    public required bool HungUp { get; init; }

    /// <summary>The bytes in it, kept with the first of the open files that refer to it.</summary>
    public PipeImage? Contents { get; init; }

    public override string Description => $"FIFO {Path}";

    [JsonIgnore]
    private int Access => Flags & Libc.O_ACCMODE;

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks)
    {
        List<Refusal> refusals = [.. checks.Exists(Path, FileIdentity.Fifo)];
        if (refusals.Count == 0 && Contents is not null && FileIdentity.TryOf(Path) is { } now && Fifos.Holder(Path, now, new HashSet<int>()) is { } pid)
        {
            refusals.Add(new Refusal("fifo.busy", 0, null, Path, $"process {pid} ({ProcessStat.TryRead(pid)?.Name}) has it open", "end that process first"));
        }

        return refusals;
    }

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        // Readers that wait for their first writer must not see the builder's come and go.
        bool unused = context.Image.OpenFiles.OfType<FifoImage>().Where(other => other.Path == Path).All(other => other is { HungUp: false, Access: Libc.O_RDONLY });
        if (Contents is not null && !unused)
        {
            int holder = context.Spare();
            context.OpenAs(tape, Path, Libc.O_RDWR | Libc.O_NONBLOCK, holder);
            Pipes.Fill(tape, Contents, holder);
        }

        context.OpenAs(tape, Path, Access | Libc.O_NONBLOCK, number);
        tape.Add($"flags of {Path}", X64.Fcntl, (ulong)number, Pipes.F_SETFL, (ulong)(Flags & (Libc.O_DIRECT | Libc.O_NONBLOCK | Libc.O_APPEND)));
    }
}
