namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>
/// Tests of which a run takes some, those whose turn it is, and the long run all. The turn is HOLDFAST_TURN, which ./test sets to the day of the year and prints;
/// it is part of the name of each test.
/// </summary>
internal static class Rotation
{
    private static int Turn => int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_TURN"), out var turn) ? turn : DateTime.UtcNow.DayOfYear;

    /// <summary>Whether something has its turn, which comes once in so many runs; in the long run always.</summary>
    public static bool IsTurnOf(string what, int runs) => LongMode.IsOn || (Turn + what.Sum(letter => letter)) % runs == 0;

    public static TheoryData<string, int> Of(IReadOnlyList<string> all, int some)
    {
        TheoryData<string, int> chosen = [];
        for (var i = 0; i < (LongMode.IsOn ? all.Count : some); i++)
        {
            chosen.Add(all[(Turn * some + i) % all.Count], Turn);
        }

        return chosen;
    }
}
