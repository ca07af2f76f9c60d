namespace Holdfast.Actors.Checkpoint;

/// <summary>The phases of a checkpoint; the states of <see cref="CheckpointCoordinator"/>.</summary>
public enum CheckpointPhase
{
    /// <summary>Everything still runs: what can be read and decided ahead of the freeze.</summary>
    Prepare,

    /// <summary>Only when the application has hooks: what its administrator runs before the freeze.</summary>
    Hooks,

    /// <summary>Only when the application has volumes: they are copied while everything runs.</summary>
    Volumes,

    /// <summary>Only when the application is intercepted: its processes run their hooks, write what they have buffered, and hold still.</summary>
    Rendezvous,

    /// <summary>Every thread of every process stops at the barrier; new processes are caught until the set is stable.</summary>
    Quiesce,

    /// <summary>What is in flight is located; refusals are decided here at the latest.</summary>
    Locate,

    /// <summary>Registers, memory maps, descriptors, signals, timers; what changed in volumes since they were copied.</summary>
    Capture,

    /// <summary>Pages leave for the snapshot store.</summary>
    Drain,

    /// <summary>The application runs again.</summary>
    Release,

    /// <summary>The snapshot becomes durable and visible.</summary>
    Commit,

    /// <summary>Only when the application is to end with its checkpoint: its processes are killed where they stand.</summary>
    End,

    /// <summary>Everything that is held is let go, whatever the outcome.</summary>
    Finish,
}

/// <summary>When memory is copied.</summary>
public enum CaptureMode
{
    /// <summary>While the application stands: Drain comes before Release.</summary>
    CopyInsideFreeze,

    /// <summary>From a copy-on-write copy, while the application runs again: Drain comes after Release.</summary>
    FrozenCopy,
}
