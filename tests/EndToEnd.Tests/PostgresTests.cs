using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// PostgreSQL as Debian has it, with the processes of its server and with clients that work in it, loses everything to SIGKILL and goes on from a snapshot that
/// was taken while it worked, with its files as a volume: the clients do not notice, and the data are consistent.
/// </summary>
public sealed class PostgresTests
{
    private const string User = "nobody";
    private static readonly int Rounds = LongMode.Count(2, 10);

    [Fact]
    public void PostgreSQL_and_its_clients_go_on_with_consistent_data()
    {
        if (Programs() is not { } programs)
        {
            // The package postgresql is not installed.
            return;
        }

        using var application = TestApplication.NotStarted("postgres");
        Give(application.Work.Path);
        File.Copy(BuiltPrograms.Application("postgres.sh")!, application.Work.In("run.sh"));
        application.Volumes = [application.Work.Path];
        application.Start(["setpriv", $"--reuid={User}", "--regid=nogroup", "--clear-groups", "bash", application.Work.In("run.sh"), application.Work.Path, programs]);
        for (var round = 0; round < Rounds; round++)
        {
            var taken = application.CheckpointBetweenBytes();
            // The shell, the server, its helpers, one for each connection, the clients.
            Assert.True(taken.Number("processes") >= 12, taken.Output);
            var then = Transactions(application);
            Until.Required(() => Transactions(application) > then + 100, () => $"it does not go on after checkpoint {round + 1}: {application.Describe()}");
            application.KillByForce();
            application.Restore();
            var before = Transactions(application);
            Until.Required(
                () => application.Work.Result is not null || application.Processes().Count == 0 || Transactions(application) > before + 100,
                () => $"it stands still after restore {round + 1}: {application.Describe()}");
            Assert.Null(application.Work.Result);
        }

        application.RequirePass();
    }

    private static int Transactions(TestApplication application) => int.Parse(File.ReadAllText(application.Work.In("count")), CultureInfo.InvariantCulture);

    /// <summary>The newest installed server's programs, or null.</summary>
    private static string? Programs() => Directory.Exists("/usr/lib/postgresql")
        ? Directory.EnumerateDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin")).LastOrDefault(bin => File.Exists(Path.Combine(bin, "initdb")))
        : null;

    private static void Give(string directory) => new CommandRunner(directory, new Dictionary<string, string>()).Run(TimeSpan.FromSeconds(10), "/bin/chown", $"{User}:nogroup", directory).Required();
}
