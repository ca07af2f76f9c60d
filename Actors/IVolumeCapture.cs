using Holdfast.Snapshots;

namespace Holdfast.Actors;

/// <summary>The volumes of an application, taken into its snapshot. Members block; one is called at a time, and none after the writer is disposed.</summary>
public interface IVolumeCapture
{
    /// <summary>Copies what they have now, while the application runs.</summary>
    /// <exception cref="SnapshotStoreException">A volume cannot be read, or the store not be written.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    void CopyFirst(CancellationToken cancellation);

    /// <summary>Captures what changed since, while the application stands.</summary>
    /// <exception cref="SnapshotStoreException">As of <see cref="CopyFirst"/>.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    void CaptureChanges(CancellationToken cancellation);
}
