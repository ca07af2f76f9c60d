using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;
using NodaTime;
using Duration = NodaTime.Duration;

namespace Holdfast.Runtime.Protection;

/// <summary>The snapshots of an object, and what they say about the cost of its checkpoints.</summary>
/// <param name="Snapshots">Those that can be read, in order.</param>
/// <param name="Measured">What each cost.</param>
internal sealed record ObjectHistory(IReadOnlyList<StoredSnapshot> Snapshots, IReadOnlyList<MeasuredCheckpoint> Measured)
{
    /// <summary>How the object behaves; the defaults where nothing was measured.</summary>
    public ObjectProfile Profile => ObjectProfile.Learn(Snapshots.Count == 0 ? (long)ObjectProfile.Default.FullBytes : Snapshots[^1].LogicalBytes, Measured);

    /// <summary>Reads it from the store.</summary>
    /// <exception cref="HoldfastException">There is no such application (<c>app.unknown</c>).</exception>
    public static ObjectHistory Of(Session session, string name)
    {
        ApplicationName.Checked(name);
        SnapshotStore? store = session.Store.ExistingSnapshots();
        IReadOnlyList<StoredSnapshot> snapshots = ProtectedApplication.Of(store, name);
        if (snapshots.Count == 0)
        {
            session.Store.Existing(name);
        }

        List<MeasuredCheckpoint> measured = [];
        StoredSnapshot? before = null;
        foreach (StoredSnapshot snapshot in snapshots)
        {
            if (Milliseconds(snapshot, ApplicationSnapshots.FreezeTag) is { } freeze && Milliseconds(snapshot, ApplicationSnapshots.ElapsedTag) is { } total)
            {
                Duration interval = before is null ? Duration.Zero : Duration.FromTimeSpan(snapshot.Taken - before.Taken);
                measured.Add(new MeasuredCheckpoint(
                    Instant.FromDateTimeOffset(snapshot.Taken), interval, snapshot.ChangedBytes, snapshot.StoredBytes, Duration.FromMilliseconds(freeze), Duration.FromMilliseconds(total)));
            }

            before = snapshot;
        }

        return new ObjectHistory(snapshots, measured);
    }

    private static double? Milliseconds(StoredSnapshot snapshot, string tag) =>
        double.TryParse(snapshot.Tags.GetValueOrDefault(tag), CultureInfo.InvariantCulture, out double value) ? value : null;
}
