using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>A 256-bit hash as a key.</summary>
[InlineArray(4)]
internal struct Hash : IEquatable<Hash>
{
    internal const int Size = 32;

    private ulong _first;

    internal static Hash From(ReadOnlySpan<byte> bytes) => MemoryMarshal.Read<Hash>(bytes[..Size]);

    public readonly bool Equals(Hash other) => ((ReadOnlySpan<ulong>)this).SequenceEqual(other);

    public override readonly bool Equals(object? obj) => obj is Hash other && Equals(other);

    public override readonly int GetHashCode() => _first.GetHashCode();
}
