using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Between extents in memory and a leaf of an extent table.</summary>
internal static class ExtentLeafCodec
{
    private const int LongestVarint = 10;

    /// <summary>Tables of millions of extents go through these: what a thread has grown once it uses again.</summary>
    [ThreadStatic]
    private static Columns? _columns;

    [ThreadStatic]
    private static PackNumbers? _numbers;

    /// <summary>Encodes a leaf to the bytes of an ExtentLeaf of manifest.proto, its base being where the first extent begins.</summary>
    /// <param name="extents">Its extents.</param>
    /// <param name="length">Bytes of it in the returned array.</param>
    /// <returns>An array of <see cref="LargeArrays"/>; the caller gives it back.</returns>
    internal static byte[] EncodeBytes(ReadOnlySpan<Extent> extents, out int length) => EncodeBytes(extents, extents[0].Offset, out length);

    internal static ExtentLeaf Encode(ReadOnlySpan<Extent> extents, long start)
    {
        byte[] bytes = EncodeBytes(extents, start, out int length);
        ExtentLeaf leaf = ExtentLeaf.Parser.ParseFrom(bytes, 0, length);
        LargeArrays.Return(bytes);
        return leaf;
    }

    /// <summary>Writes column after column, without a message whose lists would be filled and measured first. The bytes are those that the library writes.</summary>
    private static byte[] EncodeBytes(ReadOnlySpan<Extent> extents, long start, out int length)
    {
        PackNumbers packs = _numbers ??= new PackNumbers();
        packs.Number(extents, out bool anyEncoded);
        const int Columns = 5;
        int column = (extents.Length * LongestVarint) + LongestVarint + 1;
        byte[] bytes = LargeArrays.Rent((Columns * column) + (packs.Count * (PackId.Size + 2)));
        byte[] values = LargeArrays.Rent(column);
        length = 0;
        for (int i = 0; i < packs.Count; i++)
        {
            bytes[length++] = Tag(ExtentLeaf.PacksFieldNumber);
            bytes[length++] = PackId.Size;
            packs[i].CopyTo(bytes.AsSpan(length));
            length += PackId.Size;
        }

        int used = 0;
        foreach (ref readonly Extent extent in extents)
        {
            Write(values, ref used, (ulong)(extent.Offset - start));
            start = extent.End;
        }

        AddColumn(bytes, ref length, ExtentLeaf.GapFieldNumber, values, ref used);
        foreach (ref readonly Extent extent in extents)
        {
            Write(values, ref used, (ulong)extent.Length);
        }

        AddColumn(bytes, ref length, ExtentLeaf.LengthFieldNumber, values, ref used);
        foreach (uint number in packs.Of(extents.Length))
        {
            Write(values, ref used, number);
        }

        AddColumn(bytes, ref length, ExtentLeaf.PackFieldNumber, values, ref used);
        foreach (ref readonly Extent extent in extents)
        {
            Write(values, ref used, (ulong)extent.Position);
        }

        AddColumn(bytes, ref length, ExtentLeaf.PositionFieldNumber, values, ref used);
        for (int i = 0; anyEncoded && i < extents.Length; i++)
        {
            Write(values, ref used, extents[i].Encoded ? (uint)extents[i].Skip + 1 : 0);
        }

        AddColumn(bytes, ref length, ExtentLeaf.SkipFieldNumber, values, ref used);
        LargeArrays.Return(values);
        return bytes;
    }

    private static byte Tag(int field) => (byte)WireFormat.MakeTag(field, WireFormat.WireType.LengthDelimited);

    private static void AddColumn(byte[] bytes, ref int length, int field, byte[] values, ref int used)
    {
        if (used > 0)
        {
            bytes[length++] = Tag(field);
            Write(bytes, ref length, (uint)used);
            values.AsSpan(0, used).CopyTo(bytes.AsSpan(length));
            length += used;
            used = 0;
        }
    }

    private static void Write(byte[] into, ref int at, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            into[at++] = (byte)(value | 0x80);
        }

        into[at++] = (byte)value;
    }

    /// <summary>Decodes and checks a leaf that is inside another message.</summary>
    /// <returns>The extents, or null when the leaf is not possible.</returns>
    internal static Extent[]? Decode(ExtentLeaf leaf, long start) => Decode(leaf.ToByteArray(), leaf.CalculateSize(), start);

    /// <summary>Decodes and checks a leaf.</summary>
    /// <param name="bytes">An ExtentLeaf of manifest.proto. It is read without a message, whose columns would be garbage at once.</param>
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

        Extent[] extents = GC.AllocateUninitializedArray<Extent>(count);
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

            for (ReadOnlySpan<byte> rest = bytes.AsSpan(0, size); rest.Length > 0;)
            {
                if (!TryReadNumber(ref rest, out ulong tag) || tag > uint.MaxValue || !TryReadField((uint)tag, ref rest))
                {
                    return false;
                }
            }

            return true;
        }

        private bool TryReadField(uint tag, ref ReadOnlySpan<byte> rest)
        {
            int field = WireFormat.GetTagFieldNumber(tag);
            switch (WireFormat.GetTagWireType(tag))
            {
                case WireFormat.WireType.Varint when TryReadNumber(ref rest, out ulong value):
                    Of(field)?.Add(value);
                    return field != 0;
                case WireFormat.WireType.LengthDelimited when TryReadNumber(ref rest, out ulong length) && length <= (ulong)rest.Length:
                    ReadOnlySpan<byte> payload = rest[..(int)length];
                    rest = rest[(int)length..];
                    if (field == ExtentLeaf.PacksFieldNumber)
                    {
                        Packs.Add(ByteString.CopyFrom(payload));
                    }

                    return field != 0 && (Of(field)?.TryAddAll(payload) ?? true);
                case WireFormat.WireType.Fixed32 or WireFormat.WireType.Fixed64:
                    int size = WireFormat.GetTagWireType(tag) == WireFormat.WireType.Fixed32 ? sizeof(uint) : sizeof(ulong);
                    bool whole = rest.Length >= size;
                    rest = whole ? rest[size..] : rest;
                    return whole && field != 0 && Of(field) is null && field != ExtentLeaf.PacksFieldNumber;
                default:
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

        /// <summary>Adds packed values. False when they end inside one.</summary>
        internal bool TryAddAll(ReadOnlySpan<byte> packed)
        {
            // No value takes less than a byte.
            if (_values.Length - Count < packed.Length)
            {
                Array.Resize(ref _values, Math.Max(_values.Length * 2, Count + packed.Length));
            }

            ulong[] values = _values;
            int count = Count;
            for (int i = 0; i < packed.Length;)
            {
                ulong value = packed[i++];
                if (value >= 0x80)
                {
                    value &= 0x7F;
                    int shift = 0;
                    ulong next;
                    do
                    {
                        shift += 7;
                        if (i == packed.Length || shift > 63)
                        {
                            return false;
                        }

                        next = packed[i++];
                        value |= (next & 0x7F) << shift;
                    }
                    while (next >= 0x80);
                }

                values[count++] = value;
            }

            Count = count;
            return true;
        }

        internal void Add(ulong value)
        {
            if (Count == _values.Length)
            {
                Array.Resize(ref _values, Count * 2);
            }

            _values[Count++] = value;
        }
    }

    /// <summary>A number of up to ten bytes, seven bits each, the lowest first. False when it does not end.</summary>
    private static bool TryReadNumber(ref ReadOnlySpan<byte> rest, out ulong value)
    {
        value = 0;
        for (int i = 0; i < LongestVarint && i < rest.Length; i++)
        {
            value |= (ulong)(rest[i] & 0x7F) << (7 * i);
            if (rest[i] < 0x80)
            {
                rest = rest[(i + 1)..];
                return true;
            }
        }

        return false;
    }

    /// <summary>Gives the packs of a leaf numbers in the order in which they come.</summary>
    private sealed class PackNumbers
    {
        private const int Slots = 256;

        private readonly Dictionary<PackId, uint> _all = [];
        private readonly List<PackId> _packs = [];

        /// <summary>Where most look-ups end: the pack that was seen last among those that share a place, and its number, counted from 1.</summary>
        private readonly (PackId Pack, uint Number)[] _recent = new (PackId, uint)[Slots];
        private uint[] _numbers = new uint[Slots];

        internal int Count => _packs.Count;

        internal PackId this[int number] => _packs[number];

        /// <summary>The number of each extent's pack.</summary>
        internal ReadOnlySpan<uint> Of(int extents) => _numbers.AsSpan(0, extents);

        internal void Number(ReadOnlySpan<Extent> extents, out bool anyEncoded)
        {
            _all.Clear();
            _packs.Clear();
            Array.Clear(_recent);
            if (_numbers.Length < extents.Length)
            {
                _numbers = new uint[extents.Length];
            }

            anyEncoded = false;
            for (int i = 0; i < extents.Length; i++)
            {
                ref readonly Extent extent = ref extents[i];
                anyEncoded |= extent.Encoded;
                ref (PackId Pack, uint Number) slot = ref _recent[extent.Pack.Slot % Slots];
                if (slot.Number == 0 || slot.Pack != extent.Pack)
                {
                    slot = (extent.Pack, Add(extent.Pack) + 1);
                }

                _numbers[i] = slot.Number - 1;
            }
        }

        private uint Add(PackId pack)
        {
            if (!_all.TryGetValue(pack, out uint number))
            {
                number = (uint)_packs.Count;
                _all.Add(pack, number);
                _packs.Add(pack);
            }

            return number;
        }
    }
}
