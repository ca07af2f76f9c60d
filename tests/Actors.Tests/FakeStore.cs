using System.Collections.Concurrent;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>A store in memory that knows what became of every snapshot.</summary>
internal sealed class FakeStore : ISnapshotStore
{
    private int _open;

    public int Begun { get; private set; }

    public int Dropped { get; private set; }

    public List<SnapshotFacts> Committed { get; } = [];

    /// <summary>Snapshots that are neither committed nor dropped.</summary>
    public int Open => Volatile.Read(ref _open);

    public ConcurrentDictionary<string, long> Bytes { get; } = new();

    /// <summary>Runs at the start of every call.</summary>
    public Action<string> Before { get; set; } = _ => { };

    /// <summary>The application has volumes; what is asked of them is a call of the bridge's name.</summary>
    public Action<string, CancellationToken>? Volumes { get; set; }

    /// <summary>Snapshots that were removed.</summary>
    public System.Collections.Concurrent.ConcurrentQueue<string> Forgotten { get; } = new();

    public void Forget(string snapshot) => Forgotten.Enqueue(snapshot);

    public ISnapshotWriter Begin(bool live, Policies.Compression compression)
    {
        Before("Begin");
        Begun++;
        Interlocked.Increment(ref _open);
        return new Writer(this);
    }

    private sealed class Writer(FakeStore store) : ISnapshotWriter
    {
        private bool _committed;

        public IVolumeCapture? Volumes { get; } = store.Volumes is { } call ? new Capture(call) : null;

        private bool _disposed;

        public void Write(string stream, long offset, ReadOnlySpan<byte> data)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            store.Before("Write");
            int length = data.Length;
            store.Bytes.AddOrUpdate(stream, length, (_, sum) => sum + length);
        }

        public SnapshotReceipt Commit(ApplicationImage image, SnapshotFacts facts)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            store.Before("Commit");
            _committed = true;
            store.Committed.Add(facts);
            return new SnapshotReceipt($"s{store.Committed.Count}", null, store.Bytes.Values.Sum());
        }

        public void Dispose()
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            store.Dropped += _committed ? 0 : 1;
            Interlocked.Decrement(ref store._open);
        }
    }

    private sealed class Capture(Action<string, CancellationToken> call) : IVolumeCapture
    {
        public void CopyFirst(CancellationToken cancellation) => call("CopyFirst", cancellation);

        public void CaptureChanges(CancellationToken cancellation) => call("CaptureChanges", cancellation);
    }
}
