using System.Collections.Immutable;
using Holdfast.KernelBridge;
using Holdfast.Policies;

namespace Holdfast.Actors.Checkpoint;

/// <summary>Asks an <see cref="Supervision.ApplicationSupervisor"/> for a checkpoint; answered by <see cref="CheckpointTaken"/> or <see cref="CheckpointFailed"/>.</summary>
/// <param name="EndAfterwards">The application ends with its checkpoint, once that is committed.</param>
/// <param name="Timeout">Instead of <see cref="CheckpointSettings.Timeout"/>.</param>
/// <param name="Live">The state is for a comparison or a migration: no snapshot is kept.</param>
public sealed record TakeCheckpoint(bool EndAfterwards = false, TimeSpan? Timeout = null, bool Live = false)
{
    /// <summary>What is recorded with the snapshot, committed with it in one step.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>It is one of the rounds before another one (<see cref="Supervision.PreCopy"/>): no hooks are run for it.</summary>
    public bool IsRound { get; init; }

    /// <summary>All memory is read, also what is known not to have changed since the last snapshot.</summary>
    public bool Full { get; init; }

    /// <summary>With <see cref="EndAfterwards"/>: how long TCP connections with others are held for a restore; null: they end with the application.</summary>
    public TimeSpan? KeepConnections { get; init; }

    /// <summary>How the snapshot is to be compressed, at least.</summary>
    public Compression Compression { get; init; }
}

/// <summary>Asks an <see cref="Supervision.ApplicationSupervisor"/> for <see cref="NoCheckpointUnderWay"/>, once that is so: every checkpoint that was asked for before is over.</summary>
public sealed record AwaitNoCheckpoint;

/// <summary>No checkpoint is under way.</summary>
public sealed record NoCheckpointUnderWay;

/// <summary>Calls a checkpoint off; it is answered with <see cref="CheckpointFailed"/> unless it was committed already.</summary>
public sealed record CancelCheckpoint;

/// <summary>A checkpoint is committed and the application runs (or ended, as was asked).</summary>
/// <param name="Receipt">The snapshot.</param>
/// <param name="Processes">How many processes it holds.</param>
/// <param name="Threads">How many threads they have.</param>
/// <param name="FreezeTime">From the first stop to the last resume.</param>
/// <param name="TotalTime">From the request to the commit.</param>
/// <param name="Pages">What was pumped.</param>
public sealed record CheckpointTaken(
    SnapshotReceipt Receipt, int Processes, int Threads, TimeSpan FreezeTime, TimeSpan TotalTime, PageCounts Pages)
{
    /// <summary>What went wrong without harm to the snapshot; null for nothing.</summary>
    public string? Warning { get; init; }

    /// <summary>What was stored before the application stood; null where there were no rounds.</summary>
    public Supervision.PreCopyReport? PreCopy { get; init; }

    /// <summary>Who came together before the freeze; null for an application that is not intercepted.</summary>
    public RendezvousReport? Gathered { get; init; }

    /// <summary>TCP sockets that are held for a restore; see <see cref="TakeCheckpoint.KeepConnections"/>.</summary>
    public int ConnectionsKept { get; init; }
}

/// <summary>There is no snapshot, and the application runs as before.</summary>
/// <param name="Failure">Phase and cause.</param>
public sealed record CheckpointFailed(OperationFailure Failure);

/// <summary>Published on the event stream while a checkpoint is under way.</summary>
/// <param name="Phase">The phase it is in.</param>
/// <param name="BytesWritten">Bytes handed to the store so far.</param>
/// <param name="Elapsed">Since the request.</param>
public sealed record CheckpointProgress(CheckpointPhase Phase, long BytesWritten, TimeSpan Elapsed);

// Coordinator -> process, process -> coordinator: ARCHITECTURE.md's table.
internal sealed record FlushResources(CheckpointPhase Phase);

internal sealed record ResourcesFlushed(int Pid, CheckpointPhase Phase, IReadOnlyList<Refusal> Refusals, ProcessFacts? Facts);

internal sealed record EnterBarrier(TimeSpan Deadline);

internal sealed record BarrierReached(int Pid, int Threads);

internal sealed record CaptureState;

internal sealed record StateCaptured(int Pid, ProcessImage Image);

internal sealed record PumpPages(IPageSink Sink);

/// <param name="Pid">0 for what belongs to no single process.</param>
/// <param name="Counts">What was pumped.</param>
internal sealed record PagesStored(int Pid, PageCounts Counts);

/// <param name="KeepFor">When given, pages are pumped into it afterwards: memory is kept as it is, or pumped before the process goes on.</param>
internal sealed record LeaveBarrier(IPageSink? KeepFor = null);

internal sealed record Resumed(int Pid);

/// <summary>The process is gone: no error while processes are still being caught.</summary>
internal sealed record ProcessGone(int Pid, string Message);

/// <summary>An expected failure; unexpected ones crash the actor.</summary>
internal sealed record StepFailed(int Pid, Exception Cause);

// Coordinator -> ApplicationThread and back.
internal sealed record FindProcesses;

internal sealed record ProcessesFound(IReadOnlyList<int> Pids);

/// <summary>Answered by <see cref="ProcessesFound"/>: what is frozen.</summary>
internal sealed record FreezeApplication(TimeSpan Deadline);

/// <param name="Standing">Processes that stand: when there are no others it is thawed. Otherwise it is not, and the answer is <see cref="ProcessesFound"/>.</param>
internal sealed record ThawIfAllStand(IReadOnlySet<int> Standing);

/// <param name="Pids">What is left of those that stand; they are held by their own threads.</param>
internal sealed record AllStand(IReadOnlyList<int> Pids);

internal sealed record ThawApplication;

internal sealed record ApplicationThawed;

internal sealed record LocateShared(IReadOnlyList<ProcessFacts> Facts);

internal sealed record SharedLocated(IReadOnlyList<Refusal> Refusals);

/// <param name="Processes">Their images.</param>
/// <param name="PumpTo">Where shared memory goes at once; null when it is pumped later.</param>
internal sealed record AssembleImage(IReadOnlyList<ProcessImage> Processes, IPageSink? PumpTo);

/// <param name="Image">The whole.</param>
/// <param name="Pages">What was pumped.</param>
internal sealed record ImageAssembled(ApplicationImage Image, PageCounts Pages);

internal sealed record ReadFreezeTime;

internal sealed record FreezeTimeRead(TimeSpan FreezeTime);

// Coordinator <-> itself and the store.
internal sealed record SnapshotBegun(ISnapshotWriter Writer);

internal sealed record SnapshotRefused(Exception Cause);

internal sealed record CommitFailed(Exception Cause);

internal sealed record SnapshotCommitted(SnapshotReceipt Receipt);

/// <param name="Cause">Why a hook failed; null when none did.</param>
internal sealed record HooksDone(Exception? Cause);

/// <param name="Rendezvous">Null when the application is not intercepted.</param>
internal sealed record RendezvousOpened(IRendezvous? Rendezvous);

/// <param name="Report">Who came; null when it failed.</param>
/// <param name="Cause">Why it failed.</param>
internal sealed record RendezvousDone(RendezvousReport? Report, Exception? Cause);

/// <param name="Cause">Why the processes could not be told; null when they were.</param>
internal sealed record RendezvousOver(Exception? Cause);

internal sealed record VolumesCopied;

internal sealed record VolumesCaptured;

internal sealed record VolumesFailed(Exception Cause);

internal sealed record StopAgain;

internal sealed record FinishBegun;

internal sealed record WriterClosed(Exception? Cause);

internal sealed record StandingKilled(int ConnectionsKept);

internal sealed record ChildCrashed(Exception Cause);

internal sealed record PhaseTimedOut(CheckpointPhase Phase);

internal sealed record CheckpointTimedOut;

internal sealed record ReportProgress;

/// <summary>For as long as processors were to be kept awake at most.</summary>
internal sealed record AwakeLongEnough;
