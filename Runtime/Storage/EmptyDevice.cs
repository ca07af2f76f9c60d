using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>A directory that is to become a store and is none yet: it holds nothing, and can only be planned for.</summary>
internal sealed class EmptyDevice(string name) : IStorageDevice
{
    public string Name => name;

    public Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel) => Task.FromResult<IReadOnlyList<string>>([]);

    public Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel) => Task.FromResult<IReadOnlyList<SnapshotInfo>>([]);

    public Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<bool>>(new bool[hashes.Count]);

    public Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel) => throw Missing();

    public Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel) => throw Missing();

    public Task SendAsync(
        string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel) => throw Missing();

    public Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel) => throw Missing();

    public Task PinAsync(string objectName, string id, string owner, CancellationToken cancel) => throw Missing();

    public Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel) => throw Missing();

    public Task ForgetAsync(string objectName, string id, CancellationToken cancel) => throw Missing();

    public Task<CollectionReport> CollectAsync(CancellationToken cancel) => Task.FromResult(new CollectionReport());

    public Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel) => throw Missing();

    public Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel) => throw Missing();

    public Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel) => throw Missing();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private HoldfastException Missing() => new("device.missing", $"there is no store in {name}; a migration makes it, a plan makes nothing");
}
