namespace Holdfast.Snapshots;

/// <summary>A place that holds storage objects: this process's store, or another node's. Members may be called from any thread.</summary>
public interface IStorageDevice : IAsyncDisposable
{
    /// <summary>Bytes of records in one lane after which the sender is told that they are stored.</summary>
    const int AcknowledgedBytes = 64 * 1024;

    /// <summary>What people call it, in messages and pins: a directory or an address.</summary>
    string Name { get; }

    /// <summary>The names of the storage objects that have snapshots.</summary>
    Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel);

    /// <summary>The snapshots of an object in the order of their creation.</summary>
    Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel);

    /// <summary>The digest of a snapshot's content, 32 bytes.</summary>
    Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel);

    /// <summary>Begins to receive a snapshot, or goes on after an interruption.</summary>
    /// <param name="head">The encoded head of the difference.</param>
    /// <param name="baseDigest">Digest of the base's content; empty without one.</param>
    /// <param name="cancel">Cancels.</param>
    Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel);

    /// <summary>Which contents the device has, by SHA-256. An encrypted device knows none.</summary>
    Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel);

    /// <summary>Sends records of one lane.</summary>
    /// <param name="session">From <see cref="BeginAsync"/>.</param>
    /// <param name="lane">The lane.</param>
    /// <param name="first">Number within the lane of the first record that is sent.</param>
    /// <param name="write">Writes the records; it is slowed down when the device cannot follow.</param>
    /// <param name="stored">
    /// Told while they are written how many records of the lane are stored: at least whenever <see cref="AcknowledgedBytes"/> came since it was told
    /// last, and at the end. Those never have to be sent again, whoever dies.
    /// </param>
    /// <param name="cancel">Cancels.</param>
    Task SendAsync(string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel);

    /// <summary>Makes the received snapshot visible, after its content was compared with the sender's digest.</summary>
    Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel);

    /// <summary>Keeps a snapshot from being forgotten.</summary>
    Task PinAsync(string objectName, string id, string owner, CancellationToken cancel);

    /// <summary>Takes a pin away.</summary>
    Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel);

    /// <summary>Removes a snapshot; <see cref="CollectAsync"/> gives its space back. Others are not harmed.</summary>
    /// <exception cref="SnapshotStoreException">
    /// It does not exist (<c>snapshot.unknown</c>), somebody who is named still needs it (<c>snapshot.pinned</c>), or it must not go yet (<c>snapshot.immutable</c>).
    /// </exception>
    Task ForgetAsync(string objectName, string id, CancellationToken cancel);

    /// <summary>Gives back the space of what no snapshot refers to, while others read and write.</summary>
    /// <exception cref="SnapshotStoreException">Another collection runs (<c>store.busy</c>).</exception>
    Task<CollectionReport> CollectAsync(CancellationToken cancel);

    /// <summary>Opens a difference as <see cref="DifferenceFile"/> has it, to be applied here.</summary>
    /// <param name="objectName">The object.</param>
    /// <param name="from">Id of the base; null: the whole snapshot.</param>
    /// <param name="to">Id of the snapshot.</param>
    /// <param name="cancel">Cancels.</param>
    Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel);

    /// <summary>Opens what is left of a difference when a part of it is here already.</summary>
    /// <param name="objectName">The object.</param>
    /// <param name="from">Id of the base; null: the whole snapshot.</param>
    /// <param name="to">Id of the snapshot.</param>
    /// <param name="received">How many records of each lane are here: they are left out. Null: all are, and so is END; what is answered then says what is asked about.</param>
    /// <param name="cancel">Cancels.</param>
    Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel);

    /// <summary>Reads stored bytes of a stream of a snapshot, verified.</summary>
    /// <param name="objectName">The object.</param>
    /// <param name="id">Id of the snapshot.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="into">Where to; filled.</param>
    /// <param name="cancel">Cancels.</param>
    Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel);
}
