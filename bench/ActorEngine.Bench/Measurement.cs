using System.Diagnostics;

namespace Holdfast.ActorEngine.Bench;

/// <summary>What a case cost: operations, wall time, time of the processors, bytes allocated.</summary>
internal sealed record Measurement(string Case, string Unit, long Operations, double Seconds, double CpuSeconds, long AllocatedBytes)
{
    public double PerSecond => Operations / Seconds;

    public double PerCpuSecond => Operations / Math.Max(CpuSeconds, 1e-9);

    public double BytesPerOperation => (double)AllocatedBytes / Operations;

    /// <summary>Runs a case several times after warming up and takes the run with the median rate.</summary>
    public static Measurement Of(string name, string unit, long operations, int runs, Action body)
    {
        body();
        body();
        var results = new List<Measurement>();
        for (var i = 0; i < runs; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            var bytes = GC.GetTotalAllocatedBytes(precise: true);
            var cpu = Environment.CpuUsage.TotalTime;
            var start = Stopwatch.GetTimestamp();
            body();
            var wall = Stopwatch.GetElapsedTime(start);
            results.Add(new Measurement(
                name, unit, operations, wall.TotalSeconds, (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, GC.GetTotalAllocatedBytes(precise: true) - bytes));
        }

        return results.OrderBy(result => result.PerSecond).ElementAt(runs / 2);
    }
}
