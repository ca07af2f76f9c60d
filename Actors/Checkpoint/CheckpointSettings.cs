using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>How checkpoints are taken; the defaults are those of Hocon/reference.conf.</summary>
public sealed record CheckpointSettings
{
    /// <summary>When memory is copied.</summary>
    public required CaptureMode Mode { get; init; }

    /// <summary>Whether it is known from one checkpoint to the next what was written to.</summary>
    public WriteTracking TrackWrites { get; init; }

    /// <summary>How many processes pump pages at once; at least 1.</summary>
    public required int ParallelPumps { get; init; }

    /// <summary>For a whole checkpoint up to the release of the application, unless the request says otherwise.</summary>
    public required TimeSpan Timeout { get; init; }

    /// <summary>For how long a checkpoint is tried again that was refused because of a moment, such as bytes on their way.</summary>
    public TimeSpan RetryFor { get; init; }

    /// <summary>How often progress is reported.</summary>
    public required TimeSpan ProgressInterval { get; init; }

    /// <summary>The deadline of each phase; all of them but <see cref="CheckpointPhase.End"/>, which shares that of Release.</summary>
    public required IReadOnlyDictionary<CheckpointPhase, TimeSpan> Deadlines { get; init; }

    /// <summary>The deadline of a phase.</summary>
    public TimeSpan Deadline(CheckpointPhase phase) => phase switch
    {
        CheckpointPhase.End or CheckpointPhase.Finish => Deadlines[CheckpointPhase.Release],

        // Pages of what can have no copy are pumped in it.
        CheckpointPhase.Release when Mode == CaptureMode.FrozenCopy => Deadlines[CheckpointPhase.Drain],
        _ => Deadlines[phase],
    };

    /// <summary>The phase that follows.</summary>
    /// <param name="phase">The phase that is done.</param>
    /// <param name="endAfterwards">The application is to end: it stays at the barrier until the snapshot is committed.</param>
    public CheckpointPhase Next(CheckpointPhase phase, bool endAfterwards) => (phase, Mode, endAfterwards) switch
    {
        (CheckpointPhase.Prepare, _, _) => CheckpointPhase.Hooks,
        (CheckpointPhase.Hooks, _, _) => CheckpointPhase.Volumes,
        (CheckpointPhase.Volumes, _, _) => CheckpointPhase.Quiesce,
        (CheckpointPhase.Quiesce, _, _) => CheckpointPhase.Locate,
        (CheckpointPhase.Locate, _, _) => CheckpointPhase.Capture,

        (CheckpointPhase.Capture, _, true) => CheckpointPhase.Drain,
        (CheckpointPhase.Drain, _, true) => CheckpointPhase.Commit,
        (CheckpointPhase.Commit, _, true) => CheckpointPhase.End,

        (CheckpointPhase.Capture, CaptureMode.CopyInsideFreeze, _) => CheckpointPhase.Drain,
        (CheckpointPhase.Drain, CaptureMode.CopyInsideFreeze, _) => CheckpointPhase.Release,
        (CheckpointPhase.Release, CaptureMode.CopyInsideFreeze, _) => CheckpointPhase.Commit,

        (CheckpointPhase.Capture, CaptureMode.FrozenCopy, _) => CheckpointPhase.Release,
        (CheckpointPhase.Release, CaptureMode.FrozenCopy, _) => CheckpointPhase.Drain,
        (CheckpointPhase.Drain, CaptureMode.FrozenCopy, _) => CheckpointPhase.Commit,

        _ => CheckpointPhase.Finish,
    };
}
