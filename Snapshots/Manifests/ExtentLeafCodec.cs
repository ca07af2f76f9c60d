using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Between extents in memory and a leaf of an extent table.</summary>
internal static class ExtentLeafCodec
{
    internal static ExtentLeaf Encode(ReadOnlySpan<Extent> extents, long start)
    {
        var leaf = new ExtentLeaf();
        leaf.Gap.Capacity = leaf.Length.Capacity = leaf.Pack.Capacity = leaf.Position.Capacity = extents.Length;
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
            leaf.Skip.Capacity = extents.Length;
            foreach (ref readonly Extent extent in extents)
            {
                leaf.Skip.Add(extent.Encoded ? (uint)extent.Skip + 1 : 0);
            }
        }

        return leaf;
    }

    /// <summary>Decodes and checks a leaf.</summary>
    /// <returns>The extents, or null when the leaf is not possible.</returns>
    internal static Extent[]? Decode(ExtentLeaf leaf, long start)
    {
        int count = leaf.Gap.Count;
        if (leaf.Length.Count != count || leaf.Pack.Count != count || leaf.Position.Count != count || (leaf.Skip.Count != 0 && leaf.Skip.Count != count))
        {
            return null;
        }

        PackId[]? packs = DecodePacks(leaf.Packs);
        if (packs is null)
        {
            return null;
        }

        var extents = new Extent[count];
        ulong at = (ulong)start;
        for (int i = 0; i < count; i++)
        {
            ulong gap = leaf.Gap[i];
            ulong length = leaf.Length[i];
            ulong position = leaf.Position[i];
            uint skip = leaf.Skip.Count == 0 ? 0 : leaf.Skip[i];
            if (gap > long.MaxValue || length == 0 || length > long.MaxValue || position > long.MaxValue || leaf.Pack[i] >= packs.Length
                || at + gap > long.MaxValue || at + gap + length > long.MaxValue || skip > int.MaxValue || (skip != 0 && length + skip > int.MaxValue))
            {
                return null;
            }

            at += gap;
            extents[i] = new Extent((long)at, (long)length, packs[leaf.Pack[i]], (long)position, skip != 0, skip == 0 ? 0 : (int)skip - 1);
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
}
