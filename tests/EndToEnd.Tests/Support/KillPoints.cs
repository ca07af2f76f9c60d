using System.Globalization;
using System.Text.RegularExpressions;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>The N-th call of one system call in one of the supervisor's threads, as strace can inject a signal there.</summary>
internal sealed record KillPoint(string SystemCall, int When)
{
    public override string ToString() => $"{SystemCall}:{When}";
}

/// <summary>Reads an strace log (<c>strace -f -o</c>) of one checkpoint.</summary>
internal static partial class KillPoints
{
    /// <summary>
    /// Every system call between the first PTRACE_SEIZE and the last PTRACE_DETACH of all threads at which an injection can strike. strace
    /// counts per thread, and so does this: equal points of several threads are one, and the injection strikes in whichever comes
    /// first; where that was before the SEIZE, in a thread that was starting up, the point is none.
    /// </summary>
    public static IReadOnlyList<KillPoint> Between(IEnumerable<string> log)
    {
        Dictionary<(string Thread, string Call), int> counts = [];
        List<(KillPoint Point, int Line)> points = [];
        int first = -1, last = -1, number = 0;
        foreach (var line in log)
        {
            number++;
            if (Call().Match(line) is not { Success: true } match)
            {
                continue;
            }

            var (thread, call) = (match.Groups[1].Value, match.Groups[2].Value);
            counts[(thread, call)] = counts.GetValueOrDefault((thread, call)) + 1;
            if (call == "ptrace" && line.Contains("PTRACE_SEIZE", StringComparison.Ordinal) && first < 0)
            {
                first = number;
            }

            if (call == "ptrace" && line.Contains("PTRACE_DETACH", StringComparison.Ordinal))
            {
                last = number;
            }

            points.Add((new KillPoint(call, counts[(thread, call)]), number));
        }

        return [.. points.DistinctBy(point => point.Point).Where(point => first >= 0 && point.Line >= first && point.Line <= last).Select(point => point.Point)];
    }

    /// <summary>
    /// The calls with which a restore lets go of what it has built: the last PTRACE_SETOPTIONS of each thread, which ends the bond that kills with the
    /// builder, and what follows up to the last PTRACE_DETACH.
    /// </summary>
    public static IReadOnlyList<KillPoint> LettingGo(IEnumerable<string> log)
    {
        string? builder = null;
        List<KillPoint> points = [];
        var (count, last) = (0, 0);
        foreach (var line in log)
        {
            if (Call().Match(line) is not { Success: true } match || match.Groups[2].Value != "ptrace")
            {
                continue;
            }

            if (line.Contains("PTRACE_SEIZE", StringComparison.Ordinal))
            {
                builder ??= match.Groups[1].Value;
            }

            // Those before the SEIZE belong to another thread, and others do not trace.
            if (builder is null || match.Groups[1].Value != builder)
            {
                continue;
            }

            count++;
            if (points.Count > 0 || (line.Contains("PTRACE_SETOPTIONS", StringComparison.Ordinal) && !line.Contains("EXITKILL", StringComparison.Ordinal)))
            {
                points.Add(new KillPoint("ptrace", count));
            }

            last = line.Contains("PTRACE_DETACH", StringComparison.Ordinal) ? points.Count : last;
        }

        return [.. points.Take(last)];
    }

    /// <summary>Whether the log shows a death after the first SEIZE: the injection struck where it was meant to.</summary>
    public static bool StruckAfterSeize(IEnumerable<string> log)
    {
        var seized = false;
        foreach (var line in log)
        {
            seized |= line.Contains("PTRACE_SEIZE", StringComparison.Ordinal);
            if (seized && line.Contains("killed by SIGKILL", StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>An evenly spread part of the points, or all of them.</summary>
    public static IReadOnlyList<KillPoint> Sample(IReadOnlyList<KillPoint> points, int count, Random random)
    {
        if (points.Count <= count)
        {
            return points;
        }

        var width = (double)points.Count / count;
        return [.. Enumerable.Range(0, count).Select(i => points[(int)((i + random.NextDouble()) * width)])];
    }

    // "12345 ptrace(PTRACE_SEIZE, ..." ; a call that was interrupted comes back as "<... ptrace resumed>" and is not counted twice.
    [GeneratedRegex(@"^(\d+) +([a-z0-9_]+)\(")]
    private static partial Regex Call();

    public static string Injection(KillPoint point) =>
        string.Create(CultureInfo.InvariantCulture, $"inject={point.SystemCall}:signal=KILL:when={point.When}");
}
