using System.Buffers;

namespace Holdfast.Snapshots;

/// <summary>
/// Arrays that are used again by whichever thread comes next. The shared pool of .NET keeps one of each size for every thread that ever had one, some 1.5 MiB for each
/// of the many that write a snapshot or serve a transfer, until a collection of the oldest generation.
/// </summary>
internal static class LargeArrays
{
    /// <summary>Larger ones are rare, and the shared pool's.</summary>
    private const int Largest = 1 << 20;

    /// <summary>Of each size: so many lanes, each of which fills one while another is written.</summary>
    private const int Kept = 2 * DifferenceSource.Lanes;

    private static readonly ArrayPool<byte> _pool = ArrayPool<byte>.Create(Largest, Kept);

    /// <summary>An array of at least this length, with anything in it.</summary>
    internal static byte[] Rent(int length) => (length > Largest ? ArrayPool<byte>.Shared : _pool).Rent(length);

    /// <summary>Gives one back that <see cref="Rent"/> gave.</summary>
    internal static void Return(byte[] array) => (array.Length > Largest ? ArrayPool<byte>.Shared : _pool).Return(array);
}
