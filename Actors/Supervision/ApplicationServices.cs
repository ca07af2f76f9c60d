using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <summary>Everything that the supervisor of an application works with.</summary>
/// <param name="Bridge">Freezes, captures, restores.</param>
/// <param name="Store">Where its snapshots go.</param>
/// <param name="Host">The process that hosts the supervisor.</param>
/// <param name="Checkpoints">How checkpoints are taken.</param>
/// <param name="Restores">How restores are done.</param>
/// <param name="Time">The clock.</param>
public sealed record ApplicationServices(
    IKernelBridge Bridge, ISnapshotStore Store, IApplicationHost Host, CheckpointSettings Checkpoints, RestoreSettings Restores, TimeProvider Time);

/// <summary>Published on the event stream when a checkpoint that nobody waits for (<c>--every</c>) is over.</summary>
/// <param name="Outcome"><see cref="CheckpointTaken"/> or <see cref="CheckpointFailed"/>.</param>
public sealed record PeriodicCheckpointDone(object Outcome);
