using System.Diagnostics;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.ActorEngine.Tests.Persistence;

[Collection("databases")]
public sealed class KillSpec(PostgresCluster cluster, ITestOutputHelper output)
{
    private static int Kills => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? 200 : 20;

    [Theory]
    [InlineData("sqlite")]
    [InlineData("postgres")]
    public async Task Events_are_there_in_order_and_exactly_once_after_a_kill_at_any_moment(string kind)
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using var backend = new Backend(kind, cluster);
        var configuration = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(configuration, backend.Hocon);
            var acknowledged = new Dictionary<string, long>();
            for (var kill = 0; kill < Kills; kill++)
            {
                await RunAndKill(configuration, acknowledged, acknowledgements: random.Next(1, 200));
            }

            output.WriteLine($"{Kills} kills; acknowledged {string.Join(", ", acknowledged)}");
            Assert.Equal(3, acknowledged.Count);
        }
        finally
        {
            File.Delete(configuration);
        }
    }

    private static async Task RunAndKill(string configuration, Dictionary<string, long> acknowledged, int acknowledgements)
    {
        using var child = Process.Start(new ProcessStartInfo("dotnet", [typeof(KilledChild).Assembly.Location, "store", configuration])
        {
            RedirectStandardOutput = true,
        })!;
        try
        {
            var recovered = 0;
            for (var seen = 0; seen < acknowledgements || recovered < 3;)
            {
                var line = await child.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60));
                Assert.NotNull(line);
                Check(line, acknowledged);
                seen += line.StartsWith("ack", StringComparison.Ordinal) ? 1 : 0;
                recovered += line.StartsWith("recovered", StringComparison.Ordinal) ? 1 : 0;
            }
        }
        finally
        {
            child.Kill();
        }

        // What it said before it died counts.
        while (await child.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.Split(' ').Length == 3)
            {
                Check(line, acknowledged);
            }
        }

        await child.WaitForExitAsync();
    }

    private static void Check(string line, Dictionary<string, long> acknowledged)
    {
        Assert.DoesNotContain("broken", line);
        var words = line.Split(' ');
        if (words is not [var verb, var id, var text] || !long.TryParse(text, out var number))
        {
            return;
        }

        var before = acknowledged.GetValueOrDefault(id);
        if (verb == "recovered")
        {
            Assert.True(number >= before, $"{id} was at {before} and came back with {number}");
        }
        else
        {
            Assert.Equal(before + 1, number);
        }

        acknowledged[id] = number;
    }
}
