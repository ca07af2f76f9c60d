using System.Diagnostics;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>Bounded polling of a condition.</summary>
internal static class Until
{
    /// <summary>Long enough for a busy machine; nothing waits so long unless it is broken.</summary>
    public static readonly TimeSpan Bound = TimeSpan.FromSeconds(double.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_E2E_BOUND"), out var seconds) ? seconds : 90);

    /// <returns>Whether the condition held within the bound.</returns>
    public static bool Holds(Func<bool> condition, TimeSpan? bound = null)
    {
        var limit = bound ?? Bound;
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            if (watch.Elapsed > limit)
            {
                return condition();
            }

            Thread.Sleep(5);
        }

        return true;
    }

    public static void Required(Func<bool> condition, Func<string> otherwise, TimeSpan? bound = null)
    {
        if (!Holds(condition, bound))
        {
            throw new EndToEndException($"{otherwise()} (waited {(bound ?? Bound).TotalSeconds:0} s)");
        }
    }
}
