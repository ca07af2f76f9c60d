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

    public ISnapshotWriter Begin()
    {
        Before("Begin");
        Begun++;
        Interlocked.Increment(ref _open);
        return new Writer(this);
    }

    private sealed class Writer(FakeStore store) : ISnapshotWriter
    {
        private bool _committed;
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
}
