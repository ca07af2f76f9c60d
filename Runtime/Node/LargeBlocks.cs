using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace Holdfast.Runtime.Node;

/// <summary>
/// Memory for Kestrel in blocks that hold a whole TLS record and more: in its own of 4 KiB each record takes four or more calls of recvmsg(2) and as many hand-overs.
/// </summary>
internal sealed class LargeBlocks : IMemoryPoolFactory<byte>
{
    /// <inheritdoc/>
    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new Pool();

    private sealed class Pool : MemoryPool<byte>
    {
        private const int Size = 32 * 1024;
        private const int MostIdle = 64;

        private readonly ConcurrentBag<Block> _idle = [];

        public override int MaxBufferSize => Size;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, Size);
            return _idle.TryTake(out Block? block) ? block : new Block(this);
        }

        protected override void Dispose(bool disposing) => _idle.Clear();

        private void Return(Block block)
        {
            if (_idle.Count < MostIdle)
            {
                _idle.Add(block);
            }
        }

        private sealed class Block(Pool pool) : IMemoryOwner<byte>
        {
            private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(Size, pinned: true);

            public Memory<byte> Memory => _bytes;

            public void Dispose() => pool.Return(this);
        }
    }
}
