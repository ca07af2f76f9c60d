using System.Globalization;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Randomness that can be had again: set HOLDFAST_SEED to the printed number.</summary>
internal static class TestSeed
{
    public static bool Long => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    public static int Count(int usual, int when) => Long ? when : usual;

    public static Random Begin(ITestOutputHelper output, out int seed)
    {
        seed = int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_SEED"), CultureInfo.InvariantCulture, out int given) ? given : Environment.TickCount;
        output.WriteLine($"seed {seed}");
        return new Random(seed);
    }

    public static byte[] Bytes(this Random random, int length)
    {
        byte[] bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
