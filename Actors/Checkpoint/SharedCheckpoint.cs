using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// The one <see cref="ICheckpoint"/> of a coordinator's actors: <see cref="ApplicationThread"/> makes the calls about the whole,
/// each <see cref="CheckpointThread"/> opens its own process. A lock keeps them "one at a time", as the contract asks.
/// </summary>
internal sealed class SharedCheckpoint(Func<ICheckpoint> begin)
{
    private readonly Lock _gate = new();
    private ICheckpoint? _checkpoint;
    private bool _disposed;

    public T Use<T>(Func<ICheckpoint, T> call)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return call(_checkpoint ??= begin());
        }
    }

    /// <summary>Tells that a snapshot was committed, unless the checkpoint was given up meanwhile.</summary>
    public void Committed(string snapshot)
    {
        lock (_gate)
        {
            if (!_disposed)
            {
                _checkpoint?.Committed(snapshot);
            }
        }
    }

    /// <summary>Lets the application go on; later calls throw.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _checkpoint?.Dispose();
        }
    }
}
