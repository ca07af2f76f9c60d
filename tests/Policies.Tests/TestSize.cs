using NodaTime;

namespace Holdfast.Policies.Tests;

/// <summary>How much is tried: a smaller count by default, a larger one with HOLDFAST_LONG=1.</summary>
internal static class TestSize
{
    public static bool Long => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    public static int Of(int usual, int large) => Long ? large : usual;

    public static int Seed => int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_SEED"), out var seed) ? seed : 20261122;
}

internal static class Times
{
    public static Instant Utc(int year, int month, int day, int hour = 0, int minute = 0, int second = 0) => Instant.FromUtc(year, month, day, hour, minute, second);

    public static Duration Hours(double hours) => Duration.FromSeconds(Math.Round(hours * 3600));

    public static Duration Days(double days) => Duration.FromSeconds(Math.Round(days * 86400));

    public static Duration Minutes(double minutes) => Duration.FromSeconds(Math.Round(minutes * 60));

    public static Policy Read(string body, string name = "p")
    {
        var reading = PolicyReader.ReadText($"policies {{ {name} {{ {body} }} }}", "test.conf");
        Xunit.Assert.True(!reading.HasErrors, string.Join("\n", reading.Problems));
        return Xunit.Assert.Single(reading.Policies);
    }

    public static TrustedTime Trusted(Instant now) => new(now, null, ClockEvidence.First(now));
}
