using System.Buffers;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Between extents in memory and a leaf of an extent table.</summary>
internal static class ExtentLeafCodec
{
    /// <summary>Tables of millions of extents go through these: what a thread has grown once it uses again.</summary>
    [ThreadStatic]
    private static Columns? _columns;

    [ThreadStatic]
    private static ExtentLeaf? _spare;

    /// <summary>Encodes a leaf to bytes.</summary>
    /// <param name="extents">Its extents.</param>
    /// <param name="length">Bytes of it in the returned array.</param>
    /// <returns>An array of the shared pool; the caller gives it back.</returns>
    internal static byte[] EncodeBytes(ReadOnlySpan<Extent> extents, out int length)
    {
        ExtentLeaf leaf = _spare ??= new ExtentLeaf();
        leaf.Packs.Clear();
        leaf.Gap.Clear();
        leaf.Length.Clear();
        leaf.Pack.Clear();
        leaf.Position.Clear();
        leaf.Skip.Clear();
        Encode(extents, extents[0].Offset, leaf);
        length = leaf.CalculateSize();
        byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
        leaf.WriteTo(bytes.AsSpan(0, length));
        return bytes;
    }

    internal static ExtentLeaf Encode(ReadOnlySpan<Extent> extents, long start)
    {
        var leaf = new ExtentLeaf();
        Encode(extents, start, leaf);
        return leaf;
    }

    private static void Encode(ReadOnlySpan<Extent> extents, long start, ExtentLeaf leaf)
    {
        if (leaf.Gap.Capacity < extents.Length)
        {
            leaf.Gap.Capacity = leaf.Length.Capacity = leaf.Pack.Capacity = leaf.Position.Capacity = extents.Length;
        }

        var packs = new Dictionary<PackId, uint>();
        bool anySkip = false;
        foreach (ref readonly Extent extent in extents)
        {
            if (!packs.TryGetValue(extent.Pack, out uint pack))
            {
                pack = (uint)packs.Count;
                packs.Add(extent.Pack, pack);
                leaf.Packs.Add(ByteString.CopyFrom(extent.Pack.ToBytes()));
            }

            leaf.Gap.Add((ulong)(extent.Offset - start));
            leaf.Length.Add((ulong)extent.Length);
            leaf.Pack.Add(pack);
            leaf.Position.Add((ulong)extent.Position);
            anySkip |= extent.Encoded;
            start = extent.End;
        }

        if (anySkip)
        {
            foreach (ref readonly Extent extent in extents)
            {
                leaf.Skip.Add(extent.Encoded ? (uint)extent.Skip + 1 : 0);
            }
        }
    }

    /// <summary>Decodes and checks a leaf that is inside another message.</summary>
    /// <returns>The extents, or null when the leaf is not possible.</returns>
    internal static Extent[]? Decode(ExtentLeaf leaf, long start) => Decode(leaf.ToByteArray(), leaf.CalculateSize(), start);

    /// <summary>Decodes and checks a leaf.</summary>
    /// <param name="bytes">An ExtentLeaf of manifest.proto. It is read by the library's primitives, without a message whose columns would be garbage at once.</param>
    /// <param name="size">How many of the bytes.</param>
    /// <param name="start">The leaf's base.</param>
    /// <returns>The extents, or null when the leaf is not possible.</returns>
    internal static Extent[]? Decode(byte[] bytes, int size, long start)
    {
        Columns columns = _columns ??= new Columns();
        if (!columns.TryRead(bytes, size) || DecodePacks(columns.Packs) is not { } packs)
        {
            return null;
        }

        (Column gaps, Column lengths, Column pack, Column positions, Column skips) = (columns.Gap, columns.Length, columns.Pack, columns.Position, columns.Skip);
        int count = gaps.Count;
        if (lengths.Count != count || pack.Count != count || positions.Count != count || (skips.Count != 0 && skips.Count != count))
        {
            return null;
        }

        var extents = new Extent[count];
        ulong at = (ulong)start;
        for (int i = 0; i < count; i++)
        {
            ulong gap = gaps[i];
            ulong length = lengths[i];
            ulong position = positions[i];
            ulong skip = skips.Count == 0 ? 0 : skips[i];
            if (gap > long.MaxValue || length == 0 || length > long.MaxValue || position > long.MaxValue || pack[i] >= (ulong)packs.Length
                || at + gap > long.MaxValue || at + gap + length > long.MaxValue || skip > int.MaxValue || (skip != 0 && length + skip > int.MaxValue))
            {
                return null;
            }

            at += gap;
            extents[i] = new Extent((long)at, (long)length, packs[(int)pack[i]], (long)position, skip != 0, skip == 0 ? 0 : (int)skip - 1);
            at += length;
        }

        return extents;
    }

    internal static PackId[]? DecodePacks(IReadOnlyList<ByteString> packs)
    {
        var ids = new PackId[packs.Count];
        for (int i = 0; i < ids.Length; i++)
        {
            if (packs[i].Length != PackId.Size)
            {
                return null;
            }

            ids[i] = PackId.From(packs[i].Span);
        }

        return ids;
    }

    /// <summary>The columns of one leaf.</summary>
    private sealed class Columns
    {
        internal List<ByteString> Packs { get; } = [];

        internal Column Gap { get; } = new();

        internal Column Length { get; } = new();

        internal Column Pack { get; } = new();

        internal Column Position { get; } = new();

        internal Column Skip { get; } = new();

        internal bool TryRead(byte[] bytes, int size)
        {
            Packs.Clear();
            foreach (Column column in (ReadOnlySpan<Column>)[Gap, Length, Pack, Position, Skip])
            {
                column.Clear();
            }

            try
            {
                using var input = new CodedInputStream(bytes, 0, size);
                for (uint tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
                {
                    int field = WireFormat.GetTagFieldNumber(tag);
                    if (field == ExtentLeaf.PacksFieldNumber && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited)
                    {
                        Packs.Add(input.ReadBytes());
                    }
                    else if (Of(field) is { } column)
                    {
                        if (!column.TryRead(input, WireFormat.GetTagWireType(tag)))
                        {
                            return false;
                        }
                    }
                    else
                    {
                        input.SkipLastField();
                    }
                }

                return true;
            }
            catch (InvalidProtocolBufferException)
            {
                return false;
            }
        }

        private Column? Of(int field) => field switch
        {
            ExtentLeaf.GapFieldNumber => Gap,
            ExtentLeaf.LengthFieldNumber => Length,
            ExtentLeaf.PackFieldNumber => Pack,
            ExtentLeaf.PositionFieldNumber => Position,
            ExtentLeaf.SkipFieldNumber => Skip,
            _ => null,
        };
    }

    private sealed class Column
    {
        private ulong[] _values = new ulong[256];

        internal int Count { get; private set; }

        internal ulong this[int index] => _values[index];

        internal void Clear() => Count = 0;

        /// <summary>One value, or many of them packed: a reader of protobuf takes both.</summary>
        internal bool TryRead(CodedInputStream input, WireFormat.WireType type)
        {
            if (type == WireFormat.WireType.Varint)
            {
                Add(input.ReadUInt64());
                return true;
            }

            if (type != WireFormat.WireType.LengthDelimited)
            {
                return false;
            }

            int length = input.ReadLength();
            for (long end = input.Position + length; input.Position < end;)
            {
                Add(input.ReadUInt64());
            }

            return true;
        }

        private void Add(ulong value)
        {
            if (Count == _values.Length)
            {
                Array.Resize(ref _values, Count * 2);
            }

            _values[Count++] = value;
        }
    }
}
