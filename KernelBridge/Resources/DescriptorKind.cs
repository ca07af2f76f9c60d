using System.Text.Json.Serialization;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>One kind of thing that a descriptor can refer to. A new kind is a file with one of these, and a line in <see cref="DescriptorKinds"/>.</summary>
internal interface IDescriptorKind
{
    /// <summary>Whether a descriptor is of this kind.</summary>
    bool Recognise(DescriptorFacts facts);

    /// <summary>Why it cannot be captured, or null. Asked in a check and in every checkpoint alike.</summary>
    Refusal? Check(DescriptorFacts facts);

    /// <summary>What a restore does not bring back of it, or null.</summary>
    string? Caveat(DescriptorFacts facts) => null;

    /// <summary>Captures it; the process stands.</summary>
    OpenFileImage Capture(DescriptorFacts facts);
}

/// <summary>An open file description of the application (open(2)): what descriptors refer to, and may share.</summary>
[JsonDerivedType(typeof(RegularFileImage), "file")]
[JsonDerivedType(typeof(DirectoryImage), "directory")]
[JsonDerivedType(typeof(PathDescriptorImage), "path")]
[JsonDerivedType(typeof(PipeEndImage), "pipe")]
[JsonDerivedType(typeof(DeviceImage), "device")]
[JsonDerivedType(typeof(InheritedStreamImage), "inherited")]
[JsonDerivedType(typeof(EventFdImage), "eventfd")]
[JsonDerivedType(typeof(TimerFdImage), "timerfd")]
[JsonDerivedType(typeof(SignalFdImage), "signalfd")]
[JsonDerivedType(typeof(EpollImage), "epoll")]
[JsonDerivedType(typeof(PidFdImage), "pidfd")]
[JsonDerivedType(typeof(InotifyImage), "inotify")]
[JsonDerivedType(typeof(FifoImage), "fifo")]
[JsonDerivedType(typeof(SocketImage), "socket")]
[JsonDerivedType(typeof(TerminalMasterImage), "master")]
[JsonDerivedType(typeof(TerminalSlaveImage), "terminal")]
[JsonDerivedType(typeof(HungUpTerminalImage), "hung-up")]
[JsonDerivedType(typeof(PosixQueueEndImage), "mqueue")]
[JsonDerivedType(typeof(UringImage), "io_uring")]
internal abstract record OpenFileImage
{
    /// <summary>Flags of open(2) and fcntl(2) F_SETFL.</summary>
    public required int Flags { get; init; }

    /// <summary>Locks that belong to it; null when there are none.</summary>
    public IReadOnlyList<FileLockImage>? Locks { get; init; }

    /// <summary>Signals about it; null when none are sent and nothing is set.</summary>
    public SignalDrivenImage? Signals { get; init; }

    /// <summary>One word and a path, for people.</summary>
    [JsonIgnore]
    public abstract string Description { get; }

    /// <summary>Refuses, before anything is built, what cannot be restored here.</summary>
    public virtual IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => [];

    /// <summary>Composes what opens it, in the process from which all others descend, as descriptor <paramref name="number"/>.</summary>
    public abstract void Restore(SyscallTape tape, int number, RestoreContext context);

    /// <summary>Whether it is opened by a process that has it, once all processes are there; then the others take it over from that one.</summary>
    [JsonIgnore]
    public virtual bool OpenedLate => false;

    /// <summary>Composes what opens it then, as descriptor <paramref name="number"/>.</summary>
    public virtual void OpenLate(SyscallTape tape, int number) => throw new InvalidOperationException();
}

/// <summary>A descriptor of a process.</summary>
/// <param name="Number">Its number.</param>
/// <param name="CloseOnExec">FD_CLOEXEC.</param>
/// <param name="File">Index into <see cref="ApplicationImage.OpenFiles"/>.</param>
internal sealed record DescriptorImage(int Number, bool CloseOnExec, int File);

/// <summary>The table of kinds. What none of them recognises is refused.</summary>
internal static class DescriptorKinds
{
    private static readonly IDescriptorKind[] All =
    [
        new PathDescriptors(),
        new PosixQueues(),
        new RegularFiles(),
        new Directories(),
        new Pipes(),
        new Devices(),
        new PseudoTerminals(),
        new HungUpTerminals(),
        new InheritedStreams(),
        new EventFds(),
        new TimerFds(),
        new SignalFds(),
        new EpollSets(),
        new Memfds(),
        new PidFds(),
        new InotifyWatches(),
        new Fifos(),
        new Sockets(),
        new IoUrings(),
    ];

    /// <summary>The kind of a descriptor, or null.</summary>
    public static IDescriptorKind? Of(DescriptorFacts facts) => Array.Find(All, kind => kind.Recognise(facts));

    /// <summary>Why a descriptor cannot be captured, or null.</summary>
    public static Refusal? Check(DescriptorFacts facts)
    {
        if (FileLocks.Check(facts) is { } locked)
        {
            return locked;
        }

        return Of(facts) is { } kind ? kind.Check(facts)
            : facts.Refuse(Code(facts), $"{Name(facts)} cannot be captured", "close it before the checkpoint");
    }

    private static string Code(DescriptorFacts facts) => facts.Link switch
    {
        var link when link.StartsWith("socket:", StringComparison.Ordinal) => "fd.socket",
        var link when link.StartsWith("anon_inode:", StringComparison.Ordinal) => "fd." + link[11..].Trim('[', ']').Replace(' ', '-'),
        var link when link.StartsWith("/memfd:", StringComparison.Ordinal) => "fd.memfd",
        _ when facts.Identity.Type == Linux.FileIdentity.Fifo => "fd.fifo",
        _ when facts.Identity.Type == Linux.FileIdentity.CharacterDevice => "fd.device",
        _ => "fd.unknown",
    };

    private static string Name(DescriptorFacts facts) => Code(facts) switch
    {
        "fd.socket" => "a socket",
        "fd.memfd" => "a memfd",
        "fd.fifo" => "a FIFO",
        "fd.device" => $"a device ({facts.Identity.RawDevice >> 32}:{facts.Identity.RawDevice & 0xffffffff})",
        "fd.unknown" => "a file of this kind",
        var code => "a descriptor of kind " + code[3..],
    };
}
