namespace Holdfast.Snapshots;

/// <summary>One snapshot that is to be sent.</summary>
/// <param name="Snapshot">The snapshot.</param>
/// <param name="Base">What it is sent against, which the destination has by then; null: in full.</param>
/// <param name="Bytes">Content bytes that the manifests say are to be sent.</param>
/// <param name="Reason">Why this base, in words.</param>
public sealed record MigrationStep(SnapshotInfo Snapshot, SnapshotInfo? Base, long Bytes, string Reason);

/// <summary>What a migration is going to do.</summary>
/// <param name="Object">The storage object.</param>
/// <param name="Steps">The steps in their order; empty when the destination has everything.</param>
/// <param name="AlreadyThere">Snapshots of the source that the destination has.</param>
/// <param name="OnlyThere">Snapshots that only the destination has; they are left alone.</param>
public sealed record MigrationPlan(string Object, IReadOnlyList<MigrationStep> Steps, int AlreadyThere, int OnlyThere)
{
    /// <summary>Content bytes of all steps.</summary>
    public long Bytes => Steps.Sum(s => s.Bytes);
}

/// <summary>What a migration did.</summary>
/// <param name="Snapshots">Snapshots that are at the destination now because of it.</param>
/// <param name="BytesSent">Bytes sent, protocol included.</param>
/// <param name="Interruptions">How often a transfer was gone on with.</param>
public sealed record MigrationReport(int Snapshots, long BytesSent, int Interruptions);
