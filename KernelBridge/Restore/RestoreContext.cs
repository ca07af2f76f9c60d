using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>What open files need while they are opened in the process from which all others descend.</summary>
internal sealed class RestoreContext(ApplicationImage image)
{
    private readonly Dictionary<long, (int Read, int Write)> pipes = [];
    private readonly HashSet<(long, bool)> taken = [];
    private readonly Dictionary<(ulong, ulong), string> ghosts = [];

    public ApplicationImage Image => image;

    /// <summary>The first number that neither the image nor anything of the builder uses; <see cref="Spare"/> counts it up.</summary>
    public int NextSpare { get; set; }

    /// <summary>A number for something that is needed while the application is built.</summary>
    public int Spare() => NextSpare++;

    /// <summary>Numbers of master and slave of pseudo-terminals, by their own; a slave that nobody needs is not open.</summary>
    public Dictionary<int, (int Master, int Slave)> Terminals { get; } = [];

    /// <summary>Numbers of POSIX message queues, by their own.</summary>
    public Dictionary<long, int> PosixQueues { get; } = [];

    /// <summary>When the application's clocks began to go on, by our CLOCK_MONOTONIC.</summary>
    public long ClocksBegan { get; set; }

    /// <summary>What the application's CLOCK_MONOTONIC shows now, nanoseconds.</summary>
    public long Now => image.Host.Monotonic + (Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) - ClocksBegan);

    public void AddPipe(long id, int read, int write) => pipes[id] = (read, write);

    /// <summary>The descriptor of an end of a pipe.</summary>
    public int PipeEnd(long id, bool write) => write ? pipes[id].Write : pipes[id].Read;

    /// <summary>The same, for the first that asks; null for the others.</summary>
    public int? TakePipeEnd(long id, bool write) => taken.Add((id, write)) ? PipeEnd(id, write) : null;

    public void AddGhost(FileIdentity identity, string path) => ghosts[(identity.Device, identity.Inode)] = path;

    /// <summary>The name under which a deleted file exists for the time of the restore.</summary>
    public string GhostPath(FileIdentity identity) => ghosts[(identity.Device, identity.Inode)];

    /// <summary>Composes what opens a path as a given descriptor.</summary>
    public void OpenAs(SyscallTape tape, string path, int flags, int number)
    {
        const int creation = Libc.O_CREAT | Libc.O_EXCL | Libc.O_TRUNC;
        tape.Add($"opening {path}", X64.Open, tape.Place(path), (ulong)((flags & ~creation) | Libc.O_NOCTTY | Libc.O_LARGEFILE), 0);
        Place(tape, path, number);
    }

    /// <summary>Composes what moves the descriptor that the last call made to a given number.</summary>
    public static void Place(SyscallTape tape, string what, int number)
    {
        tape.AddWith($"placing {what}", X64.Dup2, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, (ulong)number);
        tape.AddWith($"closing the first descriptor of {what}", X64.Close, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0);
    }

    /// <summary>Composes what gives a descriptor its flags of fcntl(2) F_SETFL.</summary>
    public static void SetFlags(SyscallTape tape, string what, int number, int flags) =>
        tape.Add($"flags of {what}", X64.Fcntl, (ulong)number, Resources.Pipes.F_SETFL, (ulong)(flags & (Libc.O_APPEND | Libc.O_NONBLOCK)));
}
