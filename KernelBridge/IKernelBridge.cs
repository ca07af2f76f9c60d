namespace Holdfast.KernelBridge;

/// <summary>
/// What freezes, captures and restores applications. Two bridges stand behind it and pass one conformance suite:
/// the ptrace bridge (no kernel module) and the character-device bridge.
/// </summary>
/// <remarks>Members of the bridge itself may be called from any thread; what it returns says where it differs.</remarks>
public interface IKernelBridge
{
    /// <summary>The bridge's name as users write it: <c>ptrace</c>, <c>device</c> or <c>auto</c>.</summary>
    string Name { get; }

    /// <summary>What this host can do: a row per capability, with the remedy where one is missing. Changes nothing.</summary>
    IReadOnlyList<CheckRow> CheckHost();

    /// <summary>
    /// What a checkpoint of this application would say: a row per resource of every process. Stops nothing and changes nothing;
    /// the code that decides is the code that decides in a checkpoint.
    /// </summary>
    IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target);

    /// <summary>
    /// Starts an unmodified application in a virtualisation space of its own. It runs when this returns, but dies with this process until
    /// <see cref="IRunningApplication.Keep"/>.
    /// </summary>
    /// <exception cref="BridgeException">The space or the command could not be started; nothing is left.</exception>
    IRunningApplication Launch(LaunchRequest request);

    /// <summary>Finds a running application again, for example after its supervisor died.</summary>
    /// <returns>The application, or null when it no longer runs (its pid is gone or belongs to another process).</returns>
    IRunningApplication? Find(ApplicationTarget target);

    /// <summary>Opens a checkpoint of a running application. Nothing is stopped yet.</summary>
    /// <param name="target">The application.</param>
    /// <param name="tracking">Whether writes to memory are tracked from this checkpoint on, and what an earlier one began is used.</param>
    ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off);

    /// <summary>
    /// Keeps the processors of this host from halting while they wait, which is what a checkpoint and a restore are made of. All other programs of the host
    /// pay for it with power: for moments only.
    /// </summary>
    /// <returns>What ends it, on any thread; null where nothing can be done about it.</returns>
    IDisposable? KeepProcessorsAwake() => null;

    /// <summary>Has the kernel put memory behind addresses of this process that are about to be written to, so that nobody waits for it then. What cannot be is left as it is.</summary>
    /// <param name="start">The first address.</param>
    /// <param name="length">Bytes.</param>
    void MakePresent(nint start, long length)
    {
    }

    /// <summary>Private memory of all of a running application's processes at this moment, in bytes; 0 where that is not known.</summary>
    long PrivateMemory(ApplicationTarget target) => 0;

    /// <summary>Opens the barrier of an application that was launched with <see cref="LaunchRequest.Intercept"/>; null for another one.</summary>
    /// <exception cref="BridgeException">What belongs to it was changed by the application (<c>intercept.board</c>).</exception>
    IRendezvous? BeginRendezvous(ApplicationTarget target) => null;

    /// <summary>Goes on loading the memory of an application that was restored lazily.</summary>
    /// <param name="target">The application.</param>
    /// <param name="source">Called when something is missing: where it comes from. Its exceptions are passed on.</param>
    /// <returns>The loading, or null when nothing is missing.</returns>
    /// <exception cref="BridgeException">The application is gone (<c>init.gone</c>).</exception>
    IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source) => null;

    /// <summary>Opens a restore. Nothing is built yet. The result must be used from one OS thread only.</summary>
    IRestore BeginRestore(RestoreRequest request);
}

/// <summary>
/// One checkpoint of one application, as the coordinator drives it:
/// <see cref="FindProcesses"/>, <see cref="Open"/> and <see cref="IProcessCheckpoint.Prepare"/> while all runs; <see cref="Freeze"/>;
/// <see cref="IProcessCheckpoint.Stop"/> for all of them, again until no new process appears; <see cref="Thaw"/>;
/// <see cref="IProcessCheckpoint.Locate"/>, <see cref="Locate"/>, <see cref="IProcessCheckpoint.CaptureState"/>, <see cref="Assemble"/>,
/// <see cref="PumpShared"/>, and <see cref="IProcessCheckpoint.PumpPages"/> before <see cref="IProcessCheckpoint.Resume"/>, or after it for what
/// <see cref="IProcessCheckpoint.KeepMemory"/> keeps.
/// Disposing it at any moment lets the application go on.
/// </summary>
/// <remarks>Members may be called from any thread, one at a time.</remarks>
public interface ICheckpoint : IDisposable
{
    /// <summary>The host pids of the application's processes at this moment, the root first. The space's init is not among them.</summary>
    /// <exception cref="BridgeException">The application is gone.</exception>
    IReadOnlyList<int> FindProcesses();

    /// <summary>One process of it. The result must be used from one OS thread only (ptrace binds a tracee to its tracer's thread).</summary>
    IProcessCheckpoint Open(int pid);

    /// <summary>
    /// Brings the whole application to a halt through the cgroup freezer where it has a cgroup of its own; otherwise does nothing
    /// (the stops of the single processes do it). The space's init thaws it at the deadline, or when this process dies.
    /// </summary>
    /// <param name="deadline">How long the application may take to stand still.</param>
    /// <exception cref="BridgeException">It did not stand in time (code <c>freeze.timeout</c>, naming the task that did not); it runs again.</exception>
    void Freeze(TimeSpan deadline);

    /// <summary>Undoes <see cref="Freeze"/>; processes that were stopped one by one stay stopped.</summary>
    void Thaw();

    /// <summary>
    /// What only shows across processes: shared descriptors and memory, pipe ends, bytes in flight. Every process is stopped.
    /// </summary>
    /// <returns>What cannot be captured; empty when all can be.</returns>
    IReadOnlyList<Refusal> Locate(IReadOnlyList<ProcessFacts> processes);

    /// <summary>Puts the application's image together out of the states of its processes (all of them, any order).</summary>
    ApplicationImage Assemble(IReadOnlyList<ProcessImage> processes);

    /// <summary>Pumps what belongs to no single process: shared memory and the contents of deleted files.</summary>
    PageCounts PumpShared(IPageSink sink);

    /// <summary>
    /// A snapshot that holds all that was pumped, in the streams of the same names, was committed: later checkpoints may keep of it what is not written to
    /// from now on (<see cref="IPageSink.Base"/>). Without this nothing is lost: what was found changed counts as changed the next time as well.
    /// </summary>
    void Committed(string snapshot)
    {
    }

    /// <summary>
    /// From the first stop to the last resume so far, every stop included: the longest time for which any thread stood still is not longer.
    /// Zero until a process was resumed.
    /// </summary>
    TimeSpan FreezeTime { get; }
}

/// <summary>One process in a checkpoint. Every member must be called from the same OS thread.</summary>
public interface IProcessCheckpoint : IDisposable
{
    /// <summary>The pid as the host sees it.</summary>
    int Pid { get; }

    /// <summary>While the process runs: what can be read and decided ahead of the freeze.</summary>
    /// <returns>What is refused already; empty when nothing is.</returns>
    IReadOnlyList<Refusal> Prepare();

    /// <summary>Stops every thread, those too that appear meanwhile. May be called again; does nothing for threads that stand.</summary>
    /// <returns>How many threads stand now; 0 when the process is a zombie.</returns>
    /// <exception cref="BridgeException">A thread did not stop in time (<c>freeze.timeout</c>), or the process is gone (<c>process.gone</c>).</exception>
    int Stop(TimeSpan deadline);

    /// <summary>Finds and recognises every resource of the stopped process.</summary>
    ProcessFacts Locate();

    /// <summary>Captures everything but the contents of memory.</summary>
    /// <exception cref="BridgeException">Something could not be read; the process can be resumed.</exception>
    ProcessImage CaptureState();

    /// <summary>
    /// Keeps private memory as it is now, in a copy-on-write copy or, where there is little, in memory of this process: <see cref="PumpPages"/> may then come
    /// after <see cref="Resume"/>. Does so at most once.
    /// </summary>
    /// <param name="sink">Who will be given the pages; null when that is not known, so that nothing can be left out that its base has.</param>
    /// <returns>False when that is not possible: pages have to be pumped while the process stands.</returns>
    bool KeepMemory(IPageSink? sink = null);

    /// <summary>Pumps the contents of private memory into the sink: what was kept, else what is there now.</summary>
    PageCounts PumpPages(IPageSink sink);

    /// <summary>Lets the process go on exactly where it was. Does nothing when it was not stopped.</summary>
    void Resume();
}

/// <summary>
/// One restore, in the order of its members. Every member must be called from the same OS thread. Disposing it before <see cref="Run"/>
/// kills and removes all that was built.
/// </summary>
public interface IRestore : IDisposable
{
    /// <summary>The image that is restored, decoded and verified.</summary>
    ApplicationImage Image { get; }

    /// <summary>Decides whether the image can be restored here: files changed since, pids taken, CPU features, rights. Builds nothing.</summary>
    IReadOnlyList<Refusal> Check();

    /// <summary>Decides whether the files that were put back since are those of the image: by path, kind, size and time of their last change. Builds nothing.</summary>
    IReadOnlyList<Refusal> CheckVolumes() => [];

    /// <summary>Namespaces, the space's init, and the process tree with its pids, sessions and groups.</summary>
    void BuildProcesses();

    /// <summary>Descriptors and what they refer to, each shared object once.</summary>
    void BuildResources();

    /// <summary>Address spaces and their contents.</summary>
    void FillMemory();

    /// <summary>
    /// After <see cref="FillMemory"/> of a lazy restore that left something out: what loads the rest, the caller's from then on. It has to be at work while
    /// the restore goes on, for the steps that follow may need pages.
    /// </summary>
    IMemoryLoading? Loading => null;

    /// <summary>Signal actions, timers, credentials, threads and their registers. All stand at the barrier afterwards.</summary>
    void BuildThreads();

    /// <summary>Compares what was built with the image before anything runs.</summary>
    /// <exception cref="BridgeException">A difference (<c>restore.verify</c>).</exception>
    void Verify();

    /// <summary>TCP sockets that were held since the capture, and that it goes on with; see <see cref="RestoreRequest.KeptConnections"/>.</summary>
    int ConnectionsKept => 0;

    /// <summary>Lets all processes run together.</summary>
    IRunningApplication Run();
}

/// <summary>An application that runs, whoever started it. Disposing it releases handles; the application goes on.</summary>
public interface IRunningApplication : IDisposable
{
    /// <summary>How to find it again; kept by the supervisor in the store.</summary>
    ApplicationTarget Target { get; }

    /// <summary>The host pid of its main process.</summary>
    int MainPid { get; }

    /// <summary>Completes when the application has ended: 0–255 as the main process exited, 128+n when signal n killed it, -1 when no one knows.</summary>
    Task<int> Exited { get; }

    /// <summary>
    /// From now on it outlives whoever started it: to be called when it can be found again by <see cref="Target"/>. Until then an application that
    /// was launched or restored here is killed when this process dies or lets go of it. Does nothing for one that was found.
    /// </summary>
    void Keep();

    /// <summary>Sends a signal to the main process. See signal(7).</summary>
    void Signal(int signal);

    /// <summary>Kills every process of the application with SIGKILL, waits until they are gone and removes the space's cgroups.</summary>
    void Kill();
}
