using System.Runtime.InteropServices;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <content>The footer.</content>
internal sealed partial class PackWriter
{
    private PackIndex BuildIndex()
    {
        lock (_indexLock)
        {
            // Threads finish in any order; the index is by position, and raw neighbours that came apart are joined again.
            _entries.Sort(static (a, b) => a.Position.CompareTo(b.Position));
            var index = new PackIndex { PackId = ByteString.CopyFrom(Id.ToBytes()) };
            uint[] ordered = new uint[_crcs.Count];
            Span<uint> crcs = CollectionsMarshal.AsSpan(_crcs);
            byte[] hashes = new byte[_hashes.Count == 0 ? 0 : _entries.Count * Hash.Size];
            int used = 0;
            for (int i = 0; i < _entries.Count;)
            {
                Entry row = _entries[i];
                row.Crcs(crcs).CopyTo(ordered.AsSpan(used));
                used += row.CrcCount;
                for (i++; i < _entries.Count; i++)
                {
                    Entry next = _entries[i];
                    if (row.Alone || next.Alone || row.Position + row.Stored != next.Position || row.Stored % Crc32C.BlockSize != 0)
                    {
                        break;
                    }

                    row = row with { Stored = row.Stored + next.Stored, Logical = row.Logical + next.Logical };
                    next.Crcs(crcs).CopyTo(ordered.AsSpan(used));
                    used += next.CrcCount;
                }

                index.Position.Add((ulong)row.Position);
                index.Stored.Add((ulong)row.Stored);
                index.Logical.Add((ulong)row.Logical);
                index.Codec.Add(row.Codec);
                if (row.Hash >= 0)
                {
                    MemoryMarshal.Write(hashes.AsSpan((index.Position.Count - 1) * Hash.Size), _hashes[row.Hash]);
                }
            }

            index.Hashes = ByteString.CopyFrom(hashes.AsSpan(0, hashes.Length == 0 ? 0 : index.Position.Count * Hash.Size));
            index.Crcs = ByteString.CopyFrom(MemoryMarshal.AsBytes(ordered.AsSpan(0, used)));
            return index;
        }
    }

    private readonly record struct Entry(long Position, long Stored, long Logical, uint Codec, int CrcStart)
    {
        /// <summary>Its neighbours are not joined with it.</summary>
        internal bool Alone { get; init; }

        /// <summary>Index of its hash; -1 for none.</summary>
        internal int Hash { get; init; } = -1;

        internal int CrcCount => Codec == 0 ? (int)((Stored + Crc32C.BlockSize - 1) / Crc32C.BlockSize) : 1;

        internal Span<uint> Crcs(Span<uint> all) => all.Slice(CrcStart, CrcCount);
    }
}
