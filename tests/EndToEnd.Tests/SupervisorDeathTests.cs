using System.Diagnostics;
using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// Whoever takes a checkpoint may die at any instruction. Afterwards the application runs as if nothing had been, no half snapshot
/// is visible, and the next command works.
/// </summary>
[Collection("alone")]
public sealed class SupervisorDeathTests(ITestOutputHelper output)
{
    [Fact]
    public void A_checkpoint_that_is_killed_at_any_of_its_system_calls_leaves_the_application_alone()
    {
        using var application = StartWithoutSupervisor();
        HealthCheck health = new(application);
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        application.HoldfastUnder(["strace", "-f", "-qq", "-o", log], "checkpoint", application.Name).Required();
        health.Require("after the counting run");
        var all = KillPoints.Between(File.ReadLines(log));
        Assert.True(all.Count > 20, $"Only {all.Count} system calls between SEIZE and DETACH: did this command take the checkpoint itself?");
        Random random = new(LongMode.Seed);
        var points = KillPoints.Sample(all, LongMode.IsOn ? int.MaxValue : 40, random);
        output.WriteLine($"seed {LongMode.Seed}: {points.Count} of {all.Count} points");
        var struck = 0;
        var snapshots = Snapshots(application);
        var look = LongMode.IsOn ? 10 : 1;
        foreach (var some in points.Chunk(look))
        {
            var succeeded = 0;
            foreach (var point in some)
            {
                var result = application.HoldfastUnder(
                    ["strace", "-f", "-qq", "-o", log, "-e", "trace=ptrace,exit_group," + point.SystemCall, "-e", KillPoints.Injection(point)], "checkpoint", application.Name);
                health.Require($"killed at {point}");
                struck += KillPoints.StruckAfterSeize(File.ReadLines(log)) ? 1 : 0;
                succeeded += result.Succeeded ? 1 : 0;
            }

            // Half a snapshot that is visible stays so.
            snapshots = RequireOnlyWholeSnapshots(application, snapshots, some.Length, succeeded, string.Join(' ', some.AsEnumerable()));
        }

        output.WriteLine($"{struck} of {points.Count} struck after the first SEIZE");
        Assert.True(struck * 2 > points.Count, $"Only {struck} of {points.Count} injections struck inside the window.");
        RequireUsable(application, health);
    }

    [Fact]
    public void A_checkpoint_that_is_killed_at_random_moments_leaves_the_application_alone()
    {
        using var application = StartWithoutSupervisor();
        HealthCheck health = new(application);
        var watch = Stopwatch.StartNew();
        application.Checkpoint();
        var usual = watch.Elapsed;
        Random random = new(LongMode.Seed);
        output.WriteLine($"seed {LongMode.Seed}, a checkpoint takes {usual.TotalMilliseconds:0} ms");
        var snapshots = Snapshots(application);
        for (var round = 0; round < LongMode.Count(50, 300); round++)
        {
            using var checkpoint = application.StartHoldfast("checkpoint", application.Name);
            var moment = usual * (0.2 + random.NextDouble());
            Thread.Sleep(moment);
            checkpoint.Kill();
            var result = checkpoint.Finish(TimeSpan.FromSeconds(60));
            health.Require($"round {round}, killed after {moment.TotalMilliseconds:0} ms");
            snapshots = RequireOnlyWholeSnapshots(application, snapshots, 1, result.Succeeded ? 1 : 0, $"round {round}");
        }

        RequireUsable(application, health);
    }

    [Fact]
    public void A_supervisor_that_is_killed_while_another_process_asks_it_for_a_checkpoint_leaves_the_application_alone()
    {
        using var application = TestApplication.StartProgram("steady", "");
        HealthCheck health = new(application);
        application.Checkpoint();
        Random random = new(LongMode.Seed);
        output.WriteLine($"seed {LongMode.Seed}");
        var supervisors = application.Supervisors();
        Assert.NotEmpty(supervisors);
        using (var checkpoint = application.StartHoldfast("checkpoint", application.Name))
        {
            Thread.Sleep(random.Next(50, 400));
            foreach (var supervisor in supervisors)
            {
                ProcessScan.Kill(supervisor.Pid);
            }

            _ = checkpoint.Finish(TimeSpan.FromSeconds(60));
        }

        health.Require("after the supervisor died");
        RequireUsable(application, health);
    }

    [Fact]
    public void A_restore_that_is_killed_at_random_moments_leaves_nothing_behind_and_can_be_repeated()
    {
        using var application = TestApplication.StartProgram("steady", "");
        HealthCheck health = new(application);
        application.Checkpoint();
        application.KillByForce();
        var watch = Stopwatch.StartNew();
        application.Restore();
        var usual = watch.Elapsed;
        health.Renew();
        health.Require("after the first restore");
        application.KillByForce();
        Random random = new(LongMode.Seed);
        output.WriteLine($"seed {LongMode.Seed}, a restore takes {usual.TotalMilliseconds:0} ms");
        for (var round = 0; round < LongMode.Count(50, 300); round++)
        {
            application.Work.Forget();
            using (var restore = application.StartHoldfast("restore", application.Name, "--detach"))
            {
                Thread.Sleep(usual * (0.2 + random.NextDouble()));
                restore.Kill();
                foreach (var process in application.Supervisors())
                {
                    ProcessScan.Kill(process.Pid);
                }
            }

            RequireWholeOrNothing(application, health, $"round {round}");
            application.KillByForce();
        }

        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void A_restore_that_is_killed_at_any_of_its_system_calls_leaves_the_application_whole_or_nothing_of_it()
    {
        using var application = TestApplication.StartProgram("steady", "");
        HealthCheck health = new(application);
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        var strace = StraceOfRestores(log);
        var all = PointsOfARestore(application, health, log, strace, KillPoints.Between);
        Random random = new(LongMode.Seed);
        var points = KillPoints.Sample(all, LongMode.IsOn ? int.MaxValue : 25, random);
        output.WriteLine($"seed {LongMode.Seed}: {points.Count} of {all.Count} points");
        var struck = 0;
        foreach (var point in points)
        {
            application.Work.Forget();
            using (var restore = application.StartHoldfastUnder(
                [.. strace, "-e", "trace=ptrace,exit_group," + point.SystemCall, "-e", KillPoints.Injection(point)], "restore", application.Name))
            {
                // It dies at the point, or the call comes less often this time and the application runs.
                Until.Required(
                    () => restore.HasEnded || (application.Processes().Count == 5 && application.Processes().All(p => ProcessScan.Threads(p.Pid).All(t => t.TracerPid == 0))),
                    () => $"{point}: neither killed nor restored: {application.Describe()}");
            }

            foreach (var supervisor in application.Supervisors())
            {
                ProcessScan.Kill(supervisor.Pid);
            }

            RequireWholeOrNothing(application, health, point.ToString());
            struck += KillPoints.StruckAfterSeize(File.ReadLines(log)) ? 1 : 0;
            application.KillByForce();
        }

        output.WriteLine($"{struck} of {points.Count} struck after the first SEIZE");
        Assert.True(struck * 2 > points.Count, $"Only {struck} of {points.Count} injections struck inside the window.");
        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void A_restore_that_is_killed_while_it_lets_the_processes_go_lets_all_of_them_go_or_none()
    {
        using var application = TestApplication.StartProgram("steady", "");
        HealthCheck health = new(application);
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        string[] strace = [.. StraceOfRestores(log), "-e", "trace=ptrace,exit_group"];
        var all = PointsOfARestore(application, health, log, strace, KillPoints.LettingGo);
        Random random = new(LongMode.Seed);
        output.WriteLine($"seed {LongMode.Seed}: {all.Count} points");
        var nothing = 0;
        for (var round = 0; round < LongMode.Count(1, 5); round++)
        {
            foreach (var point in LongMode.IsOn ? all : KillPoints.Sample(all, 8, random))
            {
                application.Work.Forget();
                using (var restore = application.StartHoldfastUnder([.. strace, "-e", KillPoints.Injection(point)], "restore", application.Name))
                {
                    Until.Required(() => restore.HasEnded, () => $"{point}: not killed: {application.Describe()}");
                }

                foreach (var supervisor in application.Supervisors())
                {
                    ProcessScan.Kill(supervisor.Pid);
                }

                RequireWholeOrNothing(application, health, point.ToString());
                nothing += application.Processes().Count == 0 ? 1 : 0;
                application.KillByForce();
            }
        }

        output.WriteLine($"{nothing} times nothing was left");
        application.Restore();
        application.RequirePass();
    }

    /// <summary>Either the restore had come so far that the application runs whole, or nothing of it is left.</summary>
    private static void RequireWholeOrNothing(TestApplication application, HealthCheck health, string occasion)
    {
        if (health.RenewIfRestored(occasion))
        {
            health.Require($"{occasion}, restored before the kill");
        }

        Assert.Null(application.Work.Result);
    }

    /// <summary>What a restore starts is its own to trace: strace follows its threads and lets go of a child that executes a program.</summary>
    private static string[] StraceOfRestores(string log) => ["strace", "-f", "-b", "execve", "-qq", "-o", log];

    /// <summary>Takes a snapshot, restores it once under strace, kills what came of it, and returns the points that the log shows.</summary>
    private static IReadOnlyList<KillPoint> PointsOfARestore(
        TestApplication application, HealthCheck health, string log, string[] strace, Func<IEnumerable<string>, IReadOnlyList<KillPoint>> points)
    {
        application.Checkpoint();
        application.KillByForce();
        application.Work.Forget();
        using (application.StartHoldfastUnder(strace, "restore", application.Name))
        {
            Until.Required(() => File.Exists(log) && points(ReadWhileWritten(log)).Count > 20 && application.Processes().Count == 5, () => "the restore under strace does not end");
            health.Renew();
            health.Require("restored under strace");
        }

        application.KillByForce();
        return points(File.ReadLines(log));
    }

    private static List<string> ReadWhileWritten(string path)
    {
        using StreamReader reader = new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        List<string> lines = [];
        while (reader.ReadLine() is { } line)
        {
            lines.Add(line);
        }

        return lines;
    }

    [Fact]
    public void A_supervisor_that_is_killed_before_its_application_is_on_record_takes_it_along()
    {
        using var application = TestApplication.NotStarted("steady");
        // The record is moved into place; the injection strikes when that is done, but before anything else can be.
        using (var run = application.StartHoldfastUnder(
            ["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=rename,renameat,renameat2", "-e", "inject=rename,renameat,renameat2:signal=KILL:when=1"],
            "run", "--name", application.Name, "--", BuiltPrograms.StateProgram("steady"), application.Work.Path))
        {
            Until.Required(() => run.HasEnded, () => "the supervisor was not killed");
        }

        Until.Required(() => application.Processes().Count == 0, () => $"it runs, and nobody keeps it: {application.Describe()}");
        Assert.DoesNotContain("\"state\":\"running\"", application.Holdfast("list").Required().Output);
        // The name is free, and what was left of it is in nobody's way.
        application.Holdfast("run", "--detach", "--name", application.Name, "--", BuiltPrograms.StateProgram("steady"), application.Work.Path).Required();
        Until.Required(() => application.Processes().Count == 5, () => "it does not start again");
    }

    /// <summary>Takes the supervisor away, so that the next command traces the application itself and can be traced.</summary>
    private static TestApplication StartWithoutSupervisor()
    {
        var application = TestApplication.StartProgram("steady", "");
        foreach (var supervisor in application.Supervisors())
        {
            ProcessScan.Kill(supervisor.Pid);
        }

        Until.Required(() => application.Supervisors().Count == 0, () => "the supervisor does not die");
        return application;
    }

    private static HashSet<string> Snapshots(TestApplication application) =>
        [.. application.Holdfast("snapshots", application.Name).Required().Objects
            .Where(o => o.TryGetProperty("snapshot", out _)).Select(o => o.GetProperty("snapshot").ToString())];

    /// <summary>A command that was killed may have committed its snapshot just before, but one at the most, and a listed one is whole.</summary>
    private static HashSet<string> RequireOnlyWholeSnapshots(TestApplication application, HashSet<string> before, int commands, int succeeded, string occasion)
    {
        var now = Snapshots(application);
        Assert.True(before.IsSubsetOf(now), $"{occasion}: a snapshot is lost");
        Assert.InRange(now.Count - before.Count, succeeded, commands);
        foreach (var added in now.Except(before))
        {
            application.Holdfast("inspect", $"{application.Name}@{added}").Required();
        }

        return now;
    }

    private static void RequireUsable(TestApplication application, HealthCheck health)
    {
        application.Checkpoint();
        health.Require("after a checkpoint that nobody disturbed");
        application.KillByForce();
        application.Restore();
        application.RequirePass();
    }
}

/// <summary>Tests that compare times or kill by time run with no other beside them.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class AloneDefinition;
