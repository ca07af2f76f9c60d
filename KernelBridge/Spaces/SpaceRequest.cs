namespace Holdfast.KernelBridge.Spaces;

/// <summary>What the main process of a space becomes.</summary>
internal enum SpaceMode
{
    /// <summary>The program that is asked for.</summary>
    Run = 1,

    /// <summary>A stub that only pauses, with all signals blocked: a restore turns it into the application.</summary>
    Build = 2,

    /// <summary>Such a stub without a space: no namespaces, no init, the host's pids.</summary>
    Stub = 3,
}

/// <summary>How far a clock inside a time namespace is ahead of the host's; see time_namespaces(7).</summary>
/// <param name="Seconds">Whole seconds, negative when it is behind.</param>
/// <param name="Nanoseconds">0 to 999999999, added to the seconds.</param>
internal readonly record struct ClockOffset(long Seconds, int Nanoseconds);

/// <summary>A descriptor of the caller that the stub shall have.</summary>
/// <param name="Source">The caller's number.</param>
/// <param name="Target">The stub's number, above 2.</param>
internal readonly record struct DescriptorPair(int Source, int Target);

/// <summary>What <see cref="Space.Start"/> starts.</summary>
internal sealed record SpaceRequest
{
    /// <summary>Most <see cref="Extras"/>.</summary>
    public const int MaxExtras = 64;

    /// <summary><see cref="SpaceMode.Run"/> or <see cref="SpaceMode.Build"/>.</summary>
    public required SpaceMode Mode { get; init; }

    /// <summary>The application's name; names its cgroup too.</summary>
    public required string Name { get; init; }

    /// <summary>An existing directory of the application's own for the init's socket and exit file.</summary>
    public required string StateDirectory { get; init; }

    /// <summary>Program and arguments; for <see cref="SpaceMode.Run"/> at least the program.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary>The environment as NAME=VALUE, complete.</summary>
    public IReadOnlyList<string> Environment { get; init; } = [];

    /// <summary>Working directory of the program.</summary>
    public string WorkingDirectory { get; init; } = "/";

    /// <summary>True: the init leaves the caller's session, and in <see cref="SpaceMode.Run"/> the program gets one of its own.</summary>
    public bool Detach { get; init; }

    /// <summary>Descriptors of the caller that become 0, 1 and 2.</summary>
    public IReadOnlyList<int> StandardStreams { get; init; } = [0, 1, 2];

    /// <summary>Host name inside; <see cref="Name"/> when null.</summary>
    public string? HostName { get; init; }

    /// <summary>Namespaces to make: of <c>pid, mount, uts, ipc, time, net</c>, and <c>shm</c> for a /dev/shm of its own; <c>pid</c> and <c>mount</c> are always made.</summary>
    public IReadOnlySet<string> Isolate { get; init; } = new HashSet<string> { "pid", "mount", "uts", "ipc", "time", "shm" };

    /// <summary>Offset of CLOCK_MONOTONIC inside; needs <c>time</c>.</summary>
    public ClockOffset MonotonicOffset { get; init; }

    /// <summary>Offset of CLOCK_BOOTTIME inside; needs <c>time</c>.</summary>
    public ClockOffset BootTimeOffset { get; init; }

    /// <summary>Pid of the main process inside the space, above 1; 0 lets the kernel choose (it chooses 2).</summary>
    public int WantedPid { get; init; }

    /// <summary>More descriptors for the stub; <see cref="SpaceMode.Build"/> only.</summary>
    public IReadOnlyList<DescriptorPair> Extras { get; init; } = [];

    /// <summary>Whether the interceptor is put into the space's /dev/shm before the program runs; <see cref="SpaceMode.Run"/> only.</summary>
    public bool Intercept { get; init; }

    /// <summary>False: no cgroup, even where one could be made.</summary>
    public bool Grouped { get; init; } = true;

    /// <summary>Where the init's and the stub's code is loaded; a page-aligned address at which the restored process has nothing.</summary>
    public ulong BaseAddress { get; init; } = InitProgram.DefaultBase;

    /// <summary>The space for a launch.</summary>
    public static SpaceRequest Of(LaunchRequest launch) => new()
    {
        Mode = SpaceMode.Run,
        Name = launch.Name,
        StateDirectory = launch.StateDirectory,
        Command = launch.Command,
        Environment = launch.Environment,
        WorkingDirectory = launch.WorkingDirectory,
        Detach = launch.Detach,
        StandardStreams = launch.StandardStreams,
        HostName = launch.HostName,
        Isolate = launch.Isolate,
        Intercept = launch.Intercept,
    };
}

/// <summary>What <see cref="Space.StartStub"/> starts: the root stub of a restore with the host's pids.</summary>
internal sealed record StubRequest
{
    /// <summary>Descriptors of the caller that become 0, 1 and 2.</summary>
    public IReadOnlyList<int> StandardStreams { get; init; } = [0, 1, 2];

    /// <summary>The stub's pid; 0 lets the kernel choose.</summary>
    public int WantedPid { get; init; }

    /// <summary>More descriptors for the stub.</summary>
    public IReadOnlyList<DescriptorPair> Extras { get; init; } = [];

    /// <summary>The groups made for the application, whose <c>app</c> it joins; null for none.</summary>
    public CgroupTree? Cgroup { get; init; }

    /// <summary>True: in a session of its own.</summary>
    public bool OwnSession { get; init; }

    /// <summary>Where the stub's code is loaded; a page-aligned address at which the restored process has nothing.</summary>
    public ulong BaseAddress { get; init; } = InitProgram.DefaultBase;
}
