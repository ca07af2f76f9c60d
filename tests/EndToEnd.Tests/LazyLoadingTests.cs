using System.Text.Json;
using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>What happens to an application while its memory is loaded: supervisors that die, snapshots that are lost, the end of it.</summary>
public sealed class LazyLoadingTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("random")]
    [InlineData("threads")]
    [InlineData("children")]
    public void Memory_that_is_missing_is_waited_for_while_there_is_no_supervisor_and_comes_with_the_next(string programCase)
    {
        using var application = TestApplication.StartProgram("memory_on_demand", programCase);
        Random random = new(LongMode.Seed);
        for (var round = 0; round < LongMode.Count(1, 5); round++)
        {
            application.Checkpoint();
            application.KillByForce();
            application.Restore(lazy: true);
        }

        application.Work.Mark("go");
        for (var round = 0; round < LongMode.Count(4, 30) && application.Work.Result is null; round++)
        {
            // At any moment of its work; in the first round as soon as it began.
            Thread.Sleep(random.Next(round == 0 ? 1 : 300));
            KillSupervisors(application);
            var adopted = application.Holdfast("run", "--adopt", application.Name, "--detach");
            Assert.True(adopted.Succeeded || adopted.ErrorCode is "app.ended" or "application.gone", adopted.ToString());
        }

        application.RequirePass();
    }

    [Fact]
    public void A_supervisor_that_is_killed_at_any_call_with_which_it_feeds_harms_nobody()
    {
        using var application = TestApplication.StartProgram("memory_on_demand", "random");
        application.Checkpoint();
        application.KillByForce();
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        Random random = new(LongMode.Seed);
        foreach (var call in (string[])["sendmsg", "recvmsg", "pread64"])
        {
            for (var round = 0; round < LongMode.Count(2, 20); round++)
            {
                application.Work.Forget();
                KillPoint point = new(call, 1 + random.Next(40));
                using (var restore = application.StartHoldfastUnder(
                    ["strace", "-f", "-qq", "-b", "execve", "-o", log, "-e", $"trace={call},exit_group", "-e", KillPoints.Injection(point)], "restore", application.Name, "--lazy"))
                {
                    Until.Required(() => restore.HasEnded || application.Holdfast("show", application.Name).Output.Contains("\"state\":\"running\"", StringComparison.Ordinal), () => $"{point}: neither killed nor restored");
                    application.Work.Mark("go");
                    Until.Required(() => restore.HasEnded || application.Work.Result is not null, () => $"{point}: neither killed nor done: {application.Describe()}");
                }

                // It died before the application was on record, and nothing of that is left; or somebody else goes on with it.
                KillSupervisors(application);
                if (application.Processes().Count > 0)
                {
                    var adopted = application.Holdfast("run", "--adopt", application.Name, "--detach");
                    Assert.True(adopted.Succeeded || adopted.ErrorCode is "app.ended" or "application.gone", $"{point}: {adopted}");
                    application.RequirePass();
                }

                output.WriteLine($"{point}: {application.Work.Result ?? "gone"}");
                Assert.True(application.Work.Result is null or "PASS", $"{point}: {application.Work.Result}");
            }
        }
    }

    [Fact]
    public void A_snapshot_that_is_damaged_while_memory_is_loaded_from_it_ends_the_application_and_is_named()
    {
        using var application = TestApplication.StartProgram("memory_on_demand", "moved");
        application.Checkpoint();
        application.KillByForce();
        application.Restore(lazy: true);
        foreach (var pack in Directory.EnumerateFiles(Path.Combine(application.Work.Store, "packs")))
        {
            using FileStream file = new(pack, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            for (var at = 0; at < bytes.Length; at += 512)
            {
                bytes[at] ^= 0x55;
            }

            file.Position = 0;
            file.Write(bytes);
        }

        application.Work.Mark("go");
        Until.Required(() => application.Processes().Count == 0, () => $"it goes on with memory that is lost: {application.Describe()}");
        Assert.Null(application.Work.Result);
        Until.Required(() => State(application) == "ended", () => "it is not said to have ended");
        var why = application.Holdfast("show", application.Name).Objects.Single().GetProperty("endedBecause").GetString();
        Assert.Contains(".pack", why, StringComparison.Ordinal);
        Assert.Contains("mem/", why, StringComparison.Ordinal);
    }

    [Fact]
    public void While_memory_is_loaded_its_snapshot_stays_and_afterwards_nothing_of_the_means_is_left()
    {
        using var application = TestApplication.StartProgram("memory_on_demand", "discarded");
        var snapshot = application.Checkpoint().Text("snapshot")!;
        application.Kill();
        application.Restore(lazy: true);
        Assert.NotEqual(JsonValueKind.Null, Loading(application).ValueKind);
        Assert.Empty(application.Check());
        Assert.Equal("snapshot.pinned", application.Holdfast("forget", $"{application.Name}@{snapshot}").ErrorCode);
        Assert.Contains(Smaps(application), flags => flags.Contains(" um", StringComparison.Ordinal));

        // A checkpoint waits until all is loaded.
        application.Checkpoint();
        Assert.Equal(JsonValueKind.Null, Loading(application).ValueKind);
        Assert.DoesNotContain(Smaps(application), flags => flags.Contains(" um", StringComparison.Ordinal));
        var init = application.Processes().Single().Parent;
        Assert.DoesNotContain(
            Directory.EnumerateFiles($"/proc/{init}/fd"), fd => new FileInfo(fd).LinkTarget is { } link && (link.Contains("userfaultfd", StringComparison.Ordinal) || link.Contains("holdfast-loading", StringComparison.Ordinal)));
        application.Holdfast("forget", $"{application.Name}@{snapshot}").Required();
        application.RequirePass();
    }

    [Fact]
    public void While_memory_is_loaded_its_command_line_and_environment_are_shown()
    {
        using var application = TestApplication.StartProgram("memory_on_demand", "deep", configuration: "holdfast.restore.loading-rate = 1B");
        var before = Shown(application);
        application.Checkpoint();
        application.Kill();
        application.Restore(lazy: true);
        Assert.Equal(before, Shown(application));
        Assert.NotEqual(JsonValueKind.Null, Loading(application).ValueKind);
        application.RequirePass();
    }

    private static (string CommandLine, string Environment) Shown(TestApplication application)
    {
        // By its parents, since its environment is what is to be seen: the supervisor, the init of its space.
        var pid = Assert.Single(ProcessScan.Children(Assert.Single(ProcessScan.Children(application.Supervisors().Single().Pid))));
        return (File.ReadAllText($"/proc/{pid}/cmdline"), File.ReadAllText($"/proc/{pid}/environ"));
    }

    private static IEnumerable<string> Smaps(TestApplication application) =>
        File.ReadLines($"/proc/{application.Processes()[0].Pid}/smaps").Where(line => line.StartsWith("VmFlags:", StringComparison.Ordinal));

    private static JsonElement Loading(TestApplication application) => application.Holdfast("show", application.Name).Objects.Single().GetProperty("loading");

    private static string? State(TestApplication application) => application.Holdfast("show", application.Name).Objects.Single().GetProperty("state").GetString();

    private static void KillSupervisors(TestApplication application)
    {
        foreach (var supervisor in application.Supervisors())
        {
            ProcessScan.Kill(supervisor.Pid);
        }

        Until.Required(() => application.Supervisors().Count == 0, () => "a supervisor lives on");
    }
}
