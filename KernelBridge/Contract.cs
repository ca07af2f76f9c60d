namespace Holdfast.KernelBridge;

/// <summary>How an application's processes are found.</summary>
public enum ApplicationScope
{
    /// <summary>All processes of a virtualisation space that Holdfast made; <see cref="ApplicationTarget.RootPid"/> is the space's init.</summary>
    Space,

    /// <summary>A process and its descendants with the host's pids; <see cref="ApplicationTarget.RootPid"/> is that process.</summary>
    Tree,
}

/// <summary>How to find a running application: plain data that may be stored.</summary>
/// <param name="Scope">What <paramref name="RootPid"/> is the root of.</param>
/// <param name="RootPid">Host pid of the space's init or of the tree's root.</param>
/// <param name="RootStartTime">Field 22 of /proc/PID/stat in clock ticks since boot; with the pid it identifies a process.</param>
/// <param name="BootId">/proc/sys/kernel/random/boot_id of the boot it runs in.</param>
/// <param name="CgroupPath">Directory of its own cgroup-v2 group, or null where it has none.</param>
/// <param name="InitSocket">Path of the Unix socket that the space's init listens on, or null without one.</param>
/// <param name="ExitFile">File into which the space's init writes the main process's exit status, or null.</param>
public sealed record ApplicationTarget(
    ApplicationScope Scope, int RootPid, ulong RootStartTime, string BootId, string? CgroupPath = null, string? InitSocket = null, string? ExitFile = null);

/// <summary>What <see cref="IKernelBridge.Launch"/> starts.</summary>
public sealed record LaunchRequest
{
    /// <summary>The application's name; the space's hostname, unless another is given.</summary>
    public required string Name { get; init; }

    /// <summary>Program and arguments; the program is looked up in PATH when it has no slash.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>The environment as NAME=VALUE, complete.</summary>
    public required IReadOnlyList<string> Environment { get; init; }

    /// <summary>Working directory.</summary>
    public required string WorkingDirectory { get; init; }

    /// <summary>An existing directory of the application's own for the init's socket and exit file.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>True: in a session of its own, away from the caller's terminal.</summary>
    public bool Detach { get; init; }

    /// <summary>Descriptors of the caller that become 0, 1 and 2 of the application.</summary>
    public IReadOnlyList<int> StandardStreams { get; init; } = [0, 1, 2];

    /// <summary>Host name inside; <see cref="Name"/> when null.</summary>
    public string? HostName { get; init; }

    /// <summary>
    /// Namespaces to make: of <c>pid, mount, uts, ipc, time</c> and <c>net</c>, and <c>shm</c> for a /dev/shm of its own. <c>pid</c> and <c>mount</c> are
    /// always made.
    /// </summary>
    public IReadOnlySet<string> Isolate { get; init; } = new HashSet<string> { "pid", "mount", "uts", "ipc", "time", "shm" };

    /// <summary>True: every dynamic program in it loads the interceptor, and <see cref="IKernelBridge.BeginRendezvous"/> works. Takes <c>shm</c> of <see cref="Isolate"/>.</summary>
    public bool Intercept { get; init; }
}

/// <summary>What to do about files that changed since the capture.</summary>
public enum ChangedFiles
{
    /// <summary>Refuse the restore and name them.</summary>
    Refuse,

    /// <summary>Use them as they are.</summary>
    AsIs,

    /// <summary>Cut files that were open for appending, and only grew, back to the size that they had; refuse others.</summary>
    Truncate,
}

/// <summary>What <see cref="IKernelBridge.BeginRestore"/> restores.</summary>
public sealed record RestoreRequest
{
    /// <summary>The application's name.</summary>
    public required string Name { get; init; }

    /// <summary>The image as <see cref="ApplicationImage.Encode"/> gave it.</summary>
    public required ReadOnlyMemory<byte> Image { get; init; }

    /// <summary>Where the pages come from.</summary>
    public required IPageSource Pages { get; init; }

    /// <summary>An existing directory of the application's own for the init's socket and exit file.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>True: in a session of its own, away from the caller's terminal.</summary>
    public bool Detach { get; init; }

    /// <summary>Descriptors of the caller that become what the application had inherited on 0, 1 and 2.</summary>
    public IReadOnlyList<int> StandardStreams { get; init; } = [0, 1, 2];

    /// <summary>The rule about files that changed since the capture.</summary>
    public ChangedFiles Files { get; init; }

    /// <summary>
    /// Directories whose files are put back between <see cref="IRestore.Check"/> and <see cref="IRestore.CheckVolumes"/>; absolute, without symbolic links.
    /// What they hold before does not matter, unless it is a rehearsal, which uses it as it is.
    /// </summary>
    public IReadOnlyList<string> Volumes { get; init; } = [];

    /// <summary>True: it runs before its memory is loaded (<see cref="IRestore.Loading"/>).</summary>
    public bool Lazy { get; init; }

    /// <summary>Of a lazy restore: bytes a second that are loaded without being asked for, at most; null for no limit.</summary>
    public long? LoadingRate { get; init; }

    /// <summary>Where the connections of this very snapshot may be held (<see cref="Spaces.KeptConnections"/>), or null: connections with others are reset.</summary>
    public string? KeptConnections { get; init; }

    /// <summary>True: it will not run (<see cref="Rehearsal"/>), so files that <see cref="ChangedFiles.Truncate"/> would cut stay as they are.</summary>
    public bool Rehearse { get; init; }
}

/// <summary>Takes pages out of a bridge. Implementations are safe for use by several threads at once.</summary>
public interface IPageSink
{
    /// <summary>Adds bytes to a stream. Blocks while the sink has no room (back-pressure).</summary>
    /// <param name="stream">The stream's name, such as <c>mem/7</c> (the address space of process 7) or <c>shared/2</c>.</param>
    /// <param name="offset">Where they belong: for memory, the virtual address; page aligned for memory.</param>
    /// <param name="data">The bytes; only valid during the call. Ranges of one stream never overlap.</param>
    void Write(string stream, long offset, ReadOnlySpan<byte> data);

    /// <summary>An earlier snapshot of the same application, of which ranges can be kept; null when there is none, and everything has to be written.</summary>
    string? Base => null;

    /// <summary>Takes over what <see cref="Base"/> has in a range, instead of bytes.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="offset">First byte; page aligned.</param>
    /// <param name="length">Number of bytes, above 0. What the base does not have of them reads as zeros.</param>
    /// <returns>False when that cannot be done: then they have to be written.</returns>
    bool Keep(string stream, long offset, long length) => false;

    /// <summary>Takes over what another stream of the same snapshot has in the same range when the snapshot is committed, instead of bytes.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="original">The other stream, of which the range is written or kept, and not repeated itself.</param>
    /// <param name="offset">First byte; page aligned.</param>
    /// <param name="length">Number of bytes, above 0. What the other does not store there is not stored here either.</param>
    /// <returns>False when that cannot be done: then they have to be written.</returns>
    bool Repeat(string stream, string original, long offset, long length) => false;

    /// <summary>Whether <see cref="Base"/> has these bytes in a range; what it does not store there counts as zeros.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="offset">First byte; page aligned.</param>
    /// <param name="data">The bytes.</param>
    bool Holds(string stream, long offset, ReadOnlySpan<byte> data) => false;
}

/// <summary>Whether writes of an application to its memory are tracked between checkpoints, so that the next one reads what changed only.</summary>
public enum WriteTracking
{
    /// <summary>No: all memory is read.</summary>
    Off,

    /// <summary>Yes, where the kernel can.</summary>
    On,

    /// <summary>Yes, and all memory is read and compared with what the tracking says; a checkpoint fails where it differs.</summary>
    Verify,
}

/// <summary>A run of stored bytes of a stream.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Number of bytes, above 0.</param>
public readonly record struct PageRun(long Offset, long Length);

/// <summary>Where stored bytes of a stream lie. Two that lie at the same position of the same part are the same bytes.</summary>
/// <param name="Offset">First byte in the stream.</param>
/// <param name="Length">Number of bytes, above 0.</param>
/// <param name="Holder">What holds them.</param>
/// <param name="Part">The part of it.</param>
/// <param name="Position">Of the first byte in that part; those that follow lie behind it.</param>
public readonly record struct PagePlace(long Offset, long Length, Guid Holder, long Part, long Position);

/// <summary>Hands pages to a bridge. Implementations are safe for use by several threads at once.</summary>
public interface IPageSource
{
    /// <summary>The stored runs of a stream in ascending order; empty for a stream that does not exist.</summary>
    IReadOnlyList<PageRun> Runs(string stream);

    /// <summary>Where the stored bytes of a stream lie, in ascending order, so that it shows what several streams have in common; empty where that is not known.</summary>
    IReadOnlyList<PagePlace> Places(string stream) => [];

    /// <summary>Reads stored bytes, verified; the range lies inside one of the <see cref="Runs"/>.</summary>
    /// <exception cref="IOException">They are damaged or cannot be read; the message names snapshot, stream and offset.</exception>
    void Read(string stream, long offset, Span<byte> into);
}

/// <summary>What was pumped.</summary>
/// <param name="BytesScanned">Bytes of memory that were looked at.</param>
/// <param name="BytesWritten">Bytes handed to the sink.</param>
/// <param name="PagesZero">Pages found to be all zero, or never touched: not stored.</param>
/// <param name="PagesShared">Pages that another process shares and that were stored once.</param>
/// <param name="PagesUnchanged">Pages that did not change since the parent snapshot, or equal their file.</param>
public readonly record struct PageCounts(long BytesScanned, long BytesWritten, long PagesZero, long PagesShared, long PagesUnchanged)
{
    /// <summary>Bytes that were known not to have changed since <see cref="IPageSink.Base"/>: not read, and kept there. Their pages are among <see cref="PagesUnchanged"/>.</summary>
    public long BytesKept { get; init; }

    /// <summary>Adds field by field.</summary>
    public static PageCounts operator +(PageCounts a, PageCounts b) => new(
        a.BytesScanned + b.BytesScanned, a.BytesWritten + b.BytesWritten, a.PagesZero + b.PagesZero,
        a.PagesShared + b.PagesShared, a.PagesUnchanged + b.PagesUnchanged)
    { BytesKept = a.BytesKept + b.BytesKept };
}

/// <summary>Something that cannot be captured or restored: an expected answer, not a failure.</summary>
/// <param name="Code">Stable code, such as <c>fd.io_uring.busy</c>.</param>
/// <param name="Pid">The process, as its own pid namespace numbers it; 0 when it is about none.</param>
/// <param name="Descriptor">The descriptor, or null.</param>
/// <param name="What">The resource, such as <c>socket TCP 127.0.0.1:80</c>.</param>
/// <param name="Why">The reason.</param>
/// <param name="Remedy">What the user can do.</param>
public sealed record Refusal(string Code, int Pid, int? Descriptor, string What, string Why, string Remedy)
{
    // Bytes on their way, a deep recursion, events that have not been read, a look at what /proc says: what a program that goes on changes by itself.
    private static readonly HashSet<string> passing =
        ["socket.pending", "socket.unsent", "socket.urgent", "socket.rights", "socket.unread", "pty.unread", "pty.foreground", "fd.inotify", "inject.stack", "inject.late", "memory.changed", "process.leader-ended", "file.process", "fd.io_uring.busy"];

    /// <summary>Whether a code is that of a moment, so that it is worth trying again.</summary>
    /// <param name="code">Of a refusal, or of a <see cref="BridgeException"/>.</param>
    public static bool IsOfAMoment(string code) => passing.Contains(code);

    /// <inheritdoc/>
    public override string ToString()
    {
        string where = (Pid, Descriptor) switch
        {
            (0, _) => What,
            (_, null) => $"pid {Pid}, {What}",
            _ => $"pid {Pid}, fd {Descriptor}: {What}",
        };
        return $"{where}: {Why}; {Remedy}";
    }
}

/// <summary>How a row of a check came out.</summary>
public enum CheckVerdict
{
    /// <summary>Works.</summary>
    Yes,

    /// <summary>Works, with something to know.</summary>
    Caveat,

    /// <summary>Does not.</summary>
    No,
}

/// <summary>A row of a check.</summary>
/// <param name="Subject">What it is about: a capability, or <c>pid 7 fd 3</c>.</param>
/// <param name="Verdict">How it came out.</param>
/// <param name="What">What was found.</param>
/// <param name="Remedy">What to do, empty when nothing.</param>
/// <param name="Code">Stable code where the verdict is no; otherwise empty.</param>
public sealed record CheckRow(string Subject, CheckVerdict Verdict, string What, string Remedy = "", string Code = "");

/// <summary>A bridge could not do what was asked: says what, where and what to do.</summary>
public sealed class BridgeException : Exception
{
    /// <summary>Makes one.</summary>
    /// <param name="code">Stable code, such as <c>freeze.timeout</c>.</param>
    /// <param name="what">What was being done, and to what.</param>
    /// <param name="why">Why it failed.</param>
    /// <param name="remedy">What the user can do; empty when nothing.</param>
    /// <param name="inner">The cause, if another exception is.</param>
    public BridgeException(string code, string what, string why, string remedy = "", Exception? inner = null)
        : base(remedy.Length == 0 ? $"{what}: {why}" : $"{what}: {why}; {remedy}", inner)
    {
        Code = code;
    }

    /// <summary>Refuses: the message is that of the refusals, joined.</summary>
    public BridgeException(IReadOnlyList<Refusal> refusals)
        : base(string.Join("\n", refusals))
    {
        Code = refusals[0].Code;
        Refusals = refusals;
    }

    /// <summary>Stable code, such as <c>freeze.timeout</c>.</summary>
    public string Code { get; }

    /// <summary>The refusals behind it; empty when it is a failure.</summary>
    public IReadOnlyList<Refusal> Refusals { get; } = [];
}

/// <summary>What <see cref="IProcessCheckpoint.Locate"/> found in one stopped process, for the look across all of them.</summary>
/// <param name="Pid">Host pid.</param>
/// <param name="Threads">How many threads.</param>
/// <param name="Refusals">What cannot be captured of it.</param>
public sealed record ProcessFacts(int Pid, int Threads, IReadOnlyList<Refusal> Refusals)
{
    /// <summary>Everything that was found, for the look across processes.</summary>
    internal Capture.ProcessInspection? Inspection { get; init; }
}
