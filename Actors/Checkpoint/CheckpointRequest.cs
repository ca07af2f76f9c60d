using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>What a <see cref="CheckpointCoordinator"/> is made for.</summary>
/// <param name="Bridge">Freezes and captures.</param>
/// <param name="Target">The application.</param>
/// <param name="Store">Where the snapshot goes.</param>
/// <param name="Host">Kills processes that are to end with their checkpoint.</param>
/// <param name="Settings">Deadlines and mode.</param>
/// <param name="Time">The clock for what is reported.</param>
/// <param name="Message">What was asked.</param>
internal sealed record CheckpointRequest(
    IKernelBridge Bridge, ApplicationTarget Target, ISnapshotStore Store, IApplicationHost Host,
    CheckpointSettings Settings, TimeProvider Time, TakeCheckpoint Message);
