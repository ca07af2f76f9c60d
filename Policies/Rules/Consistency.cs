namespace Holdfast.Policies;

/// <summary>What a checkpoint must hold together; a later one contains the earlier.</summary>
public enum Consistency
{
    /// <summary>Memory only, as after a power failure.</summary>
    Crash,

    /// <summary>All processes at the barrier, buffers flushed.</summary>
    Application,

    /// <summary>Memory and the data volumes in the same barrier.</summary>
    Volumes,
}
