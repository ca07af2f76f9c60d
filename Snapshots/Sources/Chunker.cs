using System.Numerics;

namespace Holdfast.Snapshots;

/// <summary>
/// Cuts bytes where their content says so, so that an insertion moves only the cuts next to it. A gear hash rolls over the bytes;
/// below the wanted size a cut needs more zero bits than above it, which keeps sizes together (Xia et al., FastCDC, USENIX ATC 2016).
/// </summary>
internal sealed class Chunker
{
    private static readonly ulong[] s_gear = MakeGear();

    private readonly int _minimum;
    private readonly int _wanted;
    private readonly ulong _hard;
    private readonly ulong _easy;

    /// <param name="wanted">The usual size in bytes, a power of two; chunks are a quarter to four times as long.</param>
    internal Chunker(int wanted)
    {
        _minimum = wanted / 4;
        _wanted = wanted;
        Maximum = wanted * 4;
        int bits = BitOperations.Log2((uint)wanted);
        _hard = Mask(bits + 1);
        _easy = Mask(bits - 1);
    }

    /// <summary>No chunk is longer.</summary>
    internal int Maximum { get; }

    /// <summary>Where the first chunk of some bytes ends.</summary>
    /// <param name="data">The bytes: at least <see cref="Maximum"/>, or all that there are.</param>
    internal int Cut(ReadOnlySpan<byte> data)
    {
        int end = Math.Min(data.Length, Maximum);
        if (end <= _minimum)
        {
            return end;
        }

        ulong hash = 0;
        ulong[] gear = s_gear;
        int i = _minimum;
        int usual = Math.Min(_wanted, end);
        for (; i < usual; i++)
        {
            hash = (hash << 1) + gear[data[i]];
            if ((hash & _hard) == 0)
            {
                return i + 1;
            }
        }

        for (; i < end; i++)
        {
            hash = (hash << 1) + gear[data[i]];
            if ((hash & _easy) == 0)
            {
                return i + 1;
            }
        }

        return end;
    }

    /// <summary>High bits: those that the most bytes went into.</summary>
    private static ulong Mask(int bits) => ~0UL << (64 - bits);

    /// <summary>Fixed for ever: other numbers cut elsewhere. SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) from seed 0.</summary>
    private static ulong[] MakeGear()
    {
        var gear = new ulong[256];
        ulong state = 0;
        for (int i = 0; i < gear.Length; i++)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            gear[i] = z ^ (z >> 31);
        }

        return gear;
    }
}
