using System.Globalization;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What procfs says of one open descriptor; see proc(5) on fd and fdinfo.</summary>
internal sealed class DescriptorFacts
{
    /// <summary>The process as the host sees it.</summary>
    public required int Pid { get; init; }

    /// <summary>The process as the application's pid namespace sees it.</summary>
    public required int InnerPid { get; init; }

    public required int Number { get; init; }

    /// <summary>What the link in /proc/PID/fd says.</summary>
    public required string Link { get; init; }

    public required FileIdentity Identity { get; init; }

    /// <summary>Flags of open(2), without O_CLOEXEC, O_LARGEFILE and O_ASYNC.</summary>
    public required int Flags { get; init; }

    public required bool CloseOnExec { get; init; }

    public required long Position { get; init; }

    public required IReadOnlyList<string> Locks { get; init; }

    /// <summary>For one of ours, of what was found in the queue of a socket: the application's descriptor of that socket. Else null.</summary>
    public DescriptorFacts? Carrier { get; private init; }

    /// <summary>The number to tell a user: that of the socket in whose queue it is, or its own.</summary>
    public int ReportedNumber => Carrier?.Number ?? Number;

    /// <summary>The text of /proc/PID/fdinfo; empty when there was none.</summary>
    public string Info { get; init; } = string.Empty;

    public bool Deleted => Link.EndsWith(" (deleted)", StringComparison.Ordinal);

    /// <summary>The path without the mark of a deleted file.</summary>
    public string Path => Deleted ? Link[..^10] : Link;

    public int AccessMode => Flags & Libc.O_ACCMODE;

    public bool Writable => AccessMode != Libc.O_RDONLY && (Flags & Libc.O_PATH) == 0;

    /// <summary>O_ASYNC, F_SETOWN, F_SETSIG of fcntl(2), with the host's number of the owner; null where none of them was used.</summary>
    public SignalDrivenImage? Signals { get; private init; }

    /// <summary>Opens what the descriptor refers to, as a new open file description of ours.</summary>
    public string MagicPath => $"/proc/{Pid}/fd/{Number}";

    /// <summary>Whether it is of a kind that has no file system: eventfd, timerfd and so on.</summary>
    public bool IsAnonymous(string kind) => Link == $"anon_inode:[{kind}]" || Link == $"anon_inode:{kind}";

    /// <summary>What fdinfo says behind a name and a colon, or null where this kernel has no such line.</summary>
    public string? Field(string name)
    {
        foreach (string line in Info.Split('\n'))
        {
            if (line.Length > name.Length && line[name.Length] == ':' && line.StartsWith(name, StringComparison.Ordinal))
            {
                return line[(name.Length + 1)..].Trim();
            }
        }

        return null;
    }

    /// <summary>Asks the open file description through a descriptor of our own, which lives for the moment of the question (pidfd_getfd(2)).</summary>
    /// <exception cref="BridgeException"><c>fd.unreadable</c>.</exception>
    public T Ask<T>(Func<int, T> question)
    {
        (int copy, int error) = Libc.CopyDescriptor(Pid, Number);
        if (copy < 0)
        {
            throw new BridgeException("fd.unreadable", $"looking at descriptor {Number} of process {InnerPid} ({Link})", Errno.Text(error), "run as root or with CAP_SYS_PTRACE");
        }

        try
        {
            return question(copy);
        }
        finally
        {
            _ = Libc.close(copy);
        }
    }

    /// <summary>Whether the process still has that there. One that runs may have closed it and opened something else between two of the questions about it.</summary>
    public bool IsStillSo()
    {
        string path = $"/proc/{Pid}/fd/{Number}";
        return Carrier is not null || (ProcFs.TryLink(path) == Link && FileIdentity.TryOf(path) is var now && (now is null || now.SameFile(Identity)));
    }

    /// <summary>Whether both refer to one open file description.</summary>
    public bool IsSameFile(DescriptorFacts other) =>
        Identity.SameFile(other.Identity) && Flags == other.Flags && Libc.kcmp(Pid, other.Pid, Libc.KCMP_FILE, Number, other.Number) == 0;

    /// <summary>A descriptor of this process's own, which came out of the queue of a socket.</summary>
    /// <param name="number">Its number here.</param>
    /// <param name="carrier">The application's descriptor of the socket.</param>
    public static DescriptorFacts? OfOurs(int number, DescriptorFacts carrier)
    {
        using PidFd self = new(Environment.ProcessId);
        return Read(self, Environment.ProcessId, carrier.InnerPid, number, carrier);
    }

    /// <summary>A descriptor of another process, or another one of the same, of the same open file description, on which nobody has locks.</summary>
    /// <param name="pid">The process as the host sees it.</param>
    /// <param name="innerPid">As the application's pid namespace sees it.</param>
    /// <param name="number">Its number there.</param>
    /// <param name="closeOnExec">FD_CLOEXEC.</param>
    public DescriptorFacts OfSameFile(int pid, int innerPid, int number, bool closeOnExec) => new()
    {
        Pid = pid, InnerPid = innerPid, Number = number, Link = Link, Identity = Identity, Flags = Flags, CloseOnExec = closeOnExec, Position = Position, Locks = Locks, Info = Info, Signals = Signals,
    };

    /// <summary>One descriptor of a process; null where it has none of that number.</summary>
    /// <param name="pid">The process as the host sees it.</param>
    /// <param name="innerPid">As the application's pid namespace sees it.</param>
    /// <param name="number">Its number.</param>
    public static DescriptorFacts? TryRead(int pid, int innerPid, int number)
    {
        using PidFd process = new(pid);
        return Read(process, pid, innerPid, number, null);
    }

    /// <summary>Every descriptor of a process; one that closes meanwhile is left out.</summary>
    public static List<DescriptorFacts> ReadAll(int pid, int innerPid)
    {
        List<DescriptorFacts> all = [];
        using PidFd process = new(pid);
        foreach (int number in ProcFs.Numbers($"/proc/{pid}/fd"))
        {
            if (Read(process, pid, innerPid, number, null) is { } facts)
            {
                all.Add(facts);
            }
        }

        return all;
    }

    private static DescriptorFacts? Read(PidFd process, int pid, int innerPid, int number, DescriptorFacts? carrier)
    {
        // A process that runs may close and open a number all the time: a gap between two of these looks like a file that says nothing of itself.
        string? link;
        FileIdentity? identity;
        string? info;
        int tries = 0;
        do
        {
            link = ProcFs.TryLink($"/proc/{pid}/fd/{number}");
            identity = FileIdentity.TryOf($"/proc/{pid}/fd/{number}");
            info = ProcFs.TryText($"/proc/{pid}/fdinfo/{number}");
        }
        while (link is not null && (identity is null || info is null) && ++tries < 10);

        if (link is null)
        {
            return null;
        }

        if (identity is null || info is null)
        {
            // A file of a dead FUSE or network server, for example. It is there, so it must not be missing in an image.
            return new DescriptorFacts
            {
                Pid = pid, InnerPid = innerPid, Number = number, Carrier = carrier, Link = link, Identity = new FileIdentity(0, 0, 0, 0, 0, 0, 0, 0), Flags = 0, CloseOnExec = false,
                Position = 0, Locks = [],
            };
        }

        int flags = 0;
        long position = 0;
        List<string> locks = [];
        foreach (string line in info.Split('\n'))
        {
            if (line.StartsWith("pos:", StringComparison.Ordinal))
            {
                position = long.Parse(line.AsSpan(4).Trim(), CultureInfo.InvariantCulture);
            }
            else if (line.StartsWith("flags:", StringComparison.Ordinal))
            {
                flags = Convert.ToInt32(line[6..].Trim(), 8);
            }
            else if (line.StartsWith("lock:", StringComparison.Ordinal))
            {
                locks.Add(line[5..].Trim());
            }
        }

        return new DescriptorFacts
        {
            Pid = pid, InnerPid = innerPid, Number = number, Carrier = carrier, Link = link, Identity = identity,
            Flags = flags & ~(Libc.O_CLOEXEC | Libc.O_LARGEFILE | SignalDrivenFiles.O_ASYNC), CloseOnExec = (flags & Libc.O_CLOEXEC) != 0, Position = position, Locks = locks, Info = info,
            Signals = Owner(process, pid, number) is { } owner ? SignalDrivenFiles.Of(owner, (flags & SignalDrivenFiles.O_ASYNC) != 0) : null,
        };
    }

    /// <summary>Asks the open file description itself, through a copy of the descriptor (pidfd_getfd(2)) that lives for the moment of the question.</summary>
    private static FileOwner? Owner(PidFd process, int pid, int number)
    {
        if (ProcSnapshot.Current is { } ahead && ahead.TryOwner(pid, number, out FileOwner known))
        {
            return known;
        }

        int copy = process.Descriptor < 0 ? -1 : Libc.pidfd_getfd(process.Descriptor, number);
        if (copy < 0)
        {
            return null;
        }

        FileOwner? owner = FileOwner.TryOf(copy);
        _ = Libc.close(copy);
        return owner;
    }

    public Refusal Refuse(string code, string why, string remedy) => new(code, InnerPid, ReportedNumber, Link, why, remedy);

    /// <summary>A pidfd of a process, opened when it is first needed.</summary>
    private sealed class PidFd(int pid) : IDisposable
    {
        private int? descriptor;

        /// <summary>Negative when the process is gone.</summary>
        public int Descriptor => descriptor ??= Libc.pidfd_open(pid);

        public void Dispose() => _ = descriptor >= 0 ? Libc.close(descriptor.Value) : 0;
    }
}
