namespace Holdfast.Snapshots;

/// <summary>In which order the snapshots of an object are brought to a device.</summary>
public enum MigrationOrder
{
    /// <summary>The oldest first: history arrives as it was made.</summary>
    Forward,

    /// <summary>The newest first, so that the destination can take over at once; the older ones follow as differences against newer ones.</summary>
    Reverse,
}

/// <summary>How an object's snapshots are brought to a device.</summary>
public sealed record MigrationOptions
{
    /// <summary>The order.</summary>
    public MigrationOrder Order { get; init; } = MigrationOrder.Forward;

    /// <summary>Bytes per second that are sent at most; null: as many as go.</summary>
    public long? BytesPerSecond { get; init; }

    /// <summary>Only these snapshots; null: all that the destination lacks.</summary>
    public IReadOnlyCollection<string>? Only { get; init; }

    /// <summary>How many parts of a snapshot are sent at once over the connection: 1 to 4 make a difference.</summary>
    public int Parallel { get; init; } = 4;

    /// <summary>
    /// Bytes that are sent at most before the destination said that they are stored, and so the most that a cut costs, but for one record: at least
    /// 512 KiB. More than that is used only where answers take longer than 10 ms to come.
    /// </summary>
    public long UnacknowledgedBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>How often in a row a snapshot's transfer is gone on with after the connection broke without anything getting through, before the migration fails.</summary>
    public int Retries { get; init; } = 5;

    /// <summary>Told of each snapshot that is at the destination: the step, its number, the number of steps, and the bytes that it took; null for nobody.</summary>
    public Action<MigrationStep, int, int, long>? Sent { get; init; }

    /// <summary>Told about the progress; null for nobody.</summary>
    public IProgress<MigrationProgress>? Progress { get; init; }
}

/// <summary>How far a migration is.</summary>
/// <param name="Snapshot">The snapshot that is being sent.</param>
/// <param name="Step">Its number in the plan, from 1.</param>
/// <param name="Steps">Steps of the plan.</param>
/// <param name="BytesSent">Bytes sent so far, of all snapshots.</param>
/// <param name="BytesPlanned">Content bytes of the snapshot that is being sent.</param>
public readonly record struct MigrationProgress(SnapshotInfo Snapshot, int Step, int Steps, long BytesSent, long BytesPlanned);
