using System.Collections.Immutable;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors;

/// <summary>Where checkpoints go and restores come from. The actors do no I/O of their own: the host hands them this.</summary>
/// <remarks>Members may block; the actors never call them on a thread that has to stay responsive.</remarks>
public interface ISnapshotStore
{
    /// <summary>Opens a new snapshot. Nothing of it is visible before <see cref="ISnapshotWriter.Commit"/>.</summary>
    /// <param name="live">True: it is only a state to compare with or to send, and never becomes a visible snapshot; <see cref="SnapshotReceipt.Live"/> says where it is.</param>
    /// <param name="compression">How strongly it is to be compressed, at least; a store that knows no compression takes it as it is.</param>
    /// <exception cref="SnapshotStoreException">The store cannot take one.</exception>
    ISnapshotWriter Begin(bool live, Policies.Compression compression);

    /// <summary>Removes a snapshot of the application.</summary>
    /// <exception cref="SnapshotStoreException">It cannot be removed, or there is none of that id.</exception>
    void Forget(string snapshot) => throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {snapshot}");
}

/// <summary>A snapshot being written. Disposing it before it is committed drops all of it.</summary>
public interface ISnapshotWriter : IPageSink, IDisposable
{
    /// <summary>The application's volumes; null when it has none.</summary>
    IVolumeCapture? Volumes => null;

    /// <summary>Makes the snapshot durable and visible, at once and whole.</summary>
    /// <param name="image">The application's image.</param>
    /// <param name="facts">What the catalogue keeps beside it.</param>
    /// <exception cref="SnapshotStoreException">It could not be committed and does not exist.</exception>
    SnapshotReceipt Commit(ApplicationImage image, SnapshotFacts facts);
}

/// <summary>What is known about a snapshot when it is committed.</summary>
/// <param name="Processes">How many processes it holds.</param>
/// <param name="Threads">How many threads they have.</param>
/// <param name="FreezeTime">For how long the application stood; zero when it is still standing.</param>
/// <param name="Pages">What was pumped.</param>
public sealed record SnapshotFacts(int Processes, int Threads, TimeSpan FreezeTime, PageCounts Pages)
{
    /// <summary>What whoever asked for it wants recorded.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>From the request until the commit begins.</summary>
    public TimeSpan Elapsed { get; init; }
}

/// <summary>A committed snapshot.</summary>
/// <param name="Snapshot">Its id.</param>
/// <param name="Parent">The id of the snapshot before it, or null for the first.</param>
/// <param name="BytesStored">Bytes that it added to the store.</param>
/// <param name="Live">For a state that is not kept: what the store calls it while its host holds it. Otherwise null.</param>
public sealed record SnapshotReceipt(string Snapshot, string? Parent, long BytesStored, string? Live = null)
{
    /// <summary>What was done about the application's volumes; null when it has none.</summary>
    public VolumeCounts? Volumes { get; init; }
}
