using System.Buffers;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Leaves of extent tables are written and read without the library's messages; what comes out is what those would have made of them.</summary>
public sealed class ExtentLeafTests(ITestOutputHelper output)
{
    [Fact]
    public void A_leaf_is_the_bytes_that_the_library_writes_and_is_read_back()
    {
        Random random = TestSeed.Begin(output, out _);
        for (int i = 0; i < 100; i++)
        {
            Extent[] extents = Some(random, random.Next(1, 1500));
            byte[] expected = Message(extents).ToByteArray();
            Assert.Equal(expected, Encode(extents));
            Assert.Equal(extents, ExtentLeafCodec.Decode(expected, expected.Length, extents[0].Offset));
            Assert.Equal(Message(extents), ExtentLeafCodec.Encode(extents, extents[0].Offset));
        }
    }

    [Fact]
    public void Fields_that_are_not_known_and_values_that_are_not_packed_are_read_as_the_library_reads_them()
    {
        Random random = TestSeed.Begin(output, out _);
        Extent[] extents = Some(random, 40);
        using var bytes = new MemoryStream();
        using (var into = new CodedOutputStream(bytes, leaveOpen: true))
        {
            into.WriteTag(100, WireFormat.WireType.Varint);
            into.WriteUInt64(ulong.MaxValue);
            into.WriteTag(101, WireFormat.WireType.Fixed32);
            into.WriteFixed32(7);
            into.WriteTag(102, WireFormat.WireType.Fixed64);
            into.WriteFixed64(7);
            ExtentLeaf leaf = Message(extents);
            leaf.Gap.Clear();
            leaf.WriteTo(into);
            into.WriteTag(103, WireFormat.WireType.LengthDelimited);
            into.WriteBytes(ByteString.CopyFrom(random.Bytes(9)));
            foreach (ulong gap in Message(extents).Gap)
            {
                into.WriteTag(ExtentLeaf.GapFieldNumber, WireFormat.WireType.Varint);
                into.WriteUInt64(gap);
            }
        }

        Assert.Equal(extents, ExtentLeafCodec.Decode(bytes.ToArray(), (int)bytes.Length, extents[0].Offset));
    }

    [Fact]
    public void A_leaf_that_is_cut_off_or_altered_is_refused_or_another_leaf_and_never_an_error_of_its_own()
    {
        Random random = TestSeed.Begin(output, out _);
        Extent[] extents = Some(random, 60);
        byte[] good = Encode(extents);
        for (int length = 0; length < good.Length; length++)
        {
            Assert.NotEqual(extents, ExtentLeafCodec.Decode(good, length, extents[0].Offset));
        }

        for (int i = 0; i < 2000; i++)
        {
            byte[] bad = [.. good];
            bad[random.Next(bad.Length)] ^= (byte)(1 << random.Next(8));
            Assert.NotEqual(extents, ExtentLeafCodec.Decode(bad, bad.Length, extents[0].Offset));
        }
    }

    private static byte[] Encode(Extent[] extents)
    {
        byte[] bytes = ExtentLeafCodec.EncodeBytes(extents, out int length);
        byte[] exact = bytes[..length];
        ArrayPool<byte>.Shared.Return(bytes);
        return exact;
    }

    private static ExtentLeaf Message(Extent[] extents)
    {
        var leaf = new ExtentLeaf();
        List<PackId> packs = [.. extents.Select(e => e.Pack).Distinct()];
        leaf.Packs.Add(packs.Select(p => ByteString.CopyFrom(p.ToBytes())));
        long end = extents[0].Offset;
        foreach (Extent extent in extents)
        {
            leaf.Gap.Add((ulong)(extent.Offset - end));
            leaf.Length.Add((ulong)extent.Length);
            leaf.Pack.Add((uint)packs.IndexOf(extent.Pack));
            leaf.Position.Add((ulong)extent.Position);
            end = extent.End;
        }

        if (extents.Any(e => e.Encoded))
        {
            leaf.Skip.Add(extents.Select(e => e.Encoded ? (uint)e.Skip + 1 : 0));
        }

        return leaf;
    }

    private static Extent[] Some(Random random, int count)
    {
        PackId[] packs = [.. Enumerable.Range(0, random.Next(1, 400)).Select(_ => PackId.New())];
        bool encoded = random.Next(2) == 0;
        long at = random.NextInt64(1L << 40);
        return [.. Enumerable.Range(0, count).Select(_ =>
        {
            bool one = encoded && random.Next(3) == 0;
            at += random.Next(3) == 0 ? random.NextInt64(1L << random.Next(1, 40)) : 0;
            var extent = new Extent(at, random.Next(1, 1 << 20), packs[random.Next(packs.Length)], random.NextInt64(1L << random.Next(1, 62)), one, one ? random.Next(1 << 20) : 0);
            at = extent.End;
            return extent;
        })];
    }
}
