namespace Holdfast.Snapshots;

/// <summary>The random 128-bit name of a pack.</summary>
internal readonly record struct PackId(Guid Value) : IComparable<PackId>
{
    internal const int Size = 16;

    internal static PackId New() => new(Guid.NewGuid());

    internal static PackId From(ReadOnlySpan<byte> bytes) => new(new Guid(bytes, bigEndian: true));

    internal static bool TryParse(ReadOnlySpan<char> text, out PackId id)
    {
        bool good = Guid.TryParseExact(text, "N", out Guid value);
        id = new PackId(value);
        return good;
    }

    internal void CopyTo(Span<byte> into) => Value.TryWriteBytes(into, bigEndian: true, out _);

    internal byte[] ToBytes() => Value.ToByteArray(bigEndian: true);

    /// <summary>A part of the id, to look it up by.</summary>
    internal uint Slot => (uint)Value.GetHashCode();

    public int CompareTo(PackId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString("N");
}
