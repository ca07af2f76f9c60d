namespace Holdfast.Kmod.Tests;

/// <summary>What of the slow tests is done now.</summary>
internal static class Turns
{
    /// <summary>All of it (./test --long).</summary>
    public static bool Long => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    public static int Turn => int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_TURN"), out int turn) ? turn : DateTime.UtcNow.DayOfYear;

    /// <summary>So many of them, others tomorrow.</summary>
    public static string[] Some(IReadOnlyList<string> all, int count) => [.. Enumerable.Range(0, count).Select(i => all[((Turn * count) + i) % all.Count])];
}
