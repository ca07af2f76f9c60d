using System.Globalization;
using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>The freeze time that is reported is what the application felt.</summary>
[Collection("alone")]
public sealed class FreezeTimeTests(ITestOutputHelper output)
{
    [Fact]
    public void No_process_sees_a_standstill_longer_than_the_reported_freeze_time()
    {
        // The processor may be taken by others for longer than the bound; the program subtracts what the scheduler says
        // about that, and of a few rounds the best one counts: a report that is too small is so in every round.
        var best = double.MaxValue;
        for (var round = 0; round < 5 && best > 1; round++)
        {
            using var application = TestApplication.StartProgram("gap_watcher", "");
            var result = application.Checkpoint();
            application.RequirePass();
            var freeze = result.Number("freezeMs");
            var longest = Enumerable.Range(0, 3).Max(number => Standstill(application.Work.In($"gap-{number}")));
            output.WriteLine($"round {round}: reported {freeze:0.000} ms, felt {longest:0.000} ms");
            Assert.True(freeze > 0);
            best = Math.Min(best, longest - freeze);
        }

        Assert.True(best <= 1, $"At best a process stood still for {best:0.000} ms more than was reported.");
    }

    private static double Standstill(string path) =>
        long.Parse(File.ReadAllText(path).Trim().Split(' ')[1], CultureInfo.InvariantCulture) / 1e6;
}
