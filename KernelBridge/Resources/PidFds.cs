using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Descriptors of processes of the application, also of ended ones that wait for their parent; see pidfd_open(2).</summary>
internal sealed class PidFds : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("pidfd") || facts.Link.StartsWith("pidfd:[", StringComparison.Ordinal);

    public Refusal? Check(DescriptorFacts facts) => facts.Field("Pid") is null ? facts.Refuse("fd.pidfd", "this kernel does not show its process", "close it before the checkpoint") : null;

    /// <summary>With the host's number, until the application's images are put together.</summary>
    public OpenFileImage Capture(DescriptorFacts facts) => new PidFdImage { Flags = facts.Flags, Pid = HostPid(facts) };

    /// <summary>Those that refer to something else than a process of the application.</summary>
    /// <param name="all">Every descriptor of the application.</param>
    /// <param name="pids">Host pids of the application.</param>
    public static IEnumerable<Refusal> Refusals(IReadOnlyList<DescriptorFacts> all, IReadOnlySet<int> pids)
    {
        foreach (DescriptorFacts facts in all.Where(facts => DescriptorKinds.Of(facts) is PidFds && facts.Field("Pid") is not null))
        {
            int pid = HostPid(facts);
            if (pid <= 0)
            {
                yield return facts.Refuse("fd.pidfd", "its process has ended and is gone", "close it before the checkpoint");
            }
            else if (!pids.Contains(pid))
            {
                yield return facts.Refuse(
                    "fd.pidfd", $"it refers to {(Directory.Exists($"/proc/{pid}/task/{pid}") && ProcessStatus.TryRead(pid)?.Number("Tgid") != pid ? "a thread" : "a process")} ({pid}) that is not a process of the application",
                    "close it before the checkpoint");
            }
        }
    }

    private static int HostPid(DescriptorFacts facts) => int.Parse(facts.Field("Pid")!, CultureInfo.InvariantCulture);
}

/// <summary>A descriptor of a process.</summary>
internal sealed record PidFdImage : OpenFileImage
{
    private const int Mode = Libc.O_NONBLOCK | Libc.O_EXCL;

    /// <summary>The process, by the application's own number.</summary>
    public required int Pid { get; init; }

    public override string Description => $"process {Pid}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) =>
        checks.Image.Processes.Any(process => process.Pid == Pid) ? [] : [checks.Invalid($"process {Pid} is not in the image")];

    /// <summary>Nothing: it is opened when all processes are there.</summary>
    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
    }

    public override bool OpenedLate => true;

    public override void OpenLate(SyscallTape tape, int number)
    {
        // O_NONBLOCK is PIDFD_NONBLOCK, O_EXCL is PIDFD_THREAD.
        tape.Add($"descriptor of process {Pid}", X64.PidfdOpen, (ulong)Pid, (ulong)(Flags & Mode));
        RestoreContext.Place(tape, $"descriptor of process {Pid}", number);
    }
}
