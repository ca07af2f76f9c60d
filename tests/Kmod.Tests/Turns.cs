namespace Holdfast.Kmod.Tests;

/// <summary>What of the slow tests is done now.</summary>
internal static class Turns
{
    /// <summary>All of it (./test --long).</summary>
    public static bool Long => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    public static int Turn => int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_TURN"), out int turn) ? turn : DateTime.UtcNow.DayOfYear;

    /// <summary>Why a test is not run now, which takes turns with others or takes long.</summary>
    public static string? WhyNot(int turn, int of, string? takes) =>
        Long ? null : takes is not null ? $"it takes {takes} and more: ./test --long runs it" : of == 0 || Turn % of == turn ? null : "another one's turn (HOLDFAST_TURN)";

    /// <summary>So many of them, others tomorrow.</summary>
    public static string[] Some(IReadOnlyList<string> all, int count) => [.. Enumerable.Range(0, count).Select(i => all[((Turn * count) + i) % all.Count])];
}
