using NodaTime;

namespace Holdfast.Policies;

/// <summary>Plans count in whole seconds since 1970: fast, and no rule is finer.</summary>
internal static class SecondsExtensions
{
    public static long Seconds(this Instant instant) => instant.ToUnixTimeSeconds();

    public static long Seconds(this Duration duration) => (long)Math.Floor(duration.TotalSeconds);

    public static Instant ToInstant(this long seconds) => Instant.FromUnixTimeSeconds(seconds);
}
