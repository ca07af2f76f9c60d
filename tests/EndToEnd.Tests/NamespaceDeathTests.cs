using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Applications with pid and mount namespaces inside their own: whoever restores them may die at any instruction, and their checkpoints build on each other.</summary>
public sealed class NamespaceDeathTests(ITestOutputHelper output)
{
    /// <summary>One of three in turn, all in the long run: several levels; entered from outside; other mounts for /proc.</summary>
    public static TheoryData<string> Cases
    {
        get
        {
            TheoryData<string> cases = [];
            foreach (var programCase in (string[])["levels", "entered", "proc"])
            {
                if (Rotation.IsTurnOf(programCase, 3))
                {
                    cases.Add(programCase);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_restore_that_is_killed_at_any_of_its_system_calls_leaves_the_whole_application_or_nothing(string programCase)
    {
        // Its control groups have its name, and so nobody else may have it.
        using var application = TestApplication.NotStarted($"namespaces-{Guid.NewGuid():N}"[..20]);
        application.Start([BuiltPrograms.StateProgram("pid_namespaces"), application.Work.Path, programCase]);
        var whole = application.Processes().Count;
        application.CheckpointAndStop();
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        string[] strace = ["strace", "-f", "-b", "execve", "-qq", "-o", log];
        application.Work.Forget();
        using (application.StartHoldfastUnder(strace, "restore", application.Name))
        {
            Until.Required(() => IsWhole(application, whole), () => $"the restore under strace does not end: {application.Describe()}");
        }

        EndAll(application);
        var all = KillPoints.Between(File.ReadLines(log));
        Assert.True(all.Count > 100, $"Only {all.Count} system calls between SEIZE and DETACH");
        Random random = new(LongMode.Seed);
        var points = KillPoints.Sample(all, LongMode.IsOn ? 1000 : 15, random);
        var (struck, restored) = (0, 0);
        foreach (var point in points)
        {
            application.Work.Forget();
            using (var restore = application.StartHoldfastUnder([.. strace, "-e", "trace=ptrace,exit_group," + point.SystemCall, "-e", KillPoints.Injection(point)], "restore", application.Name))
            {
                // It dies at the point, or the call comes less often this time and the application runs.
                Until.Required(() => restore.HasEnded || IsWhole(application, whole), () => $"{point}: neither killed nor restored: {application.Describe()}");
            }

            foreach (var supervisor in application.Supervisors())
            {
                ProcessScan.Kill(supervisor.Pid);
            }

            // Processes of a half-built application may have no mark yet, but they are in its groups.
            Until.Required(
                () => IsWhole(application, whole) || (application.Processes().Count == 0 && Members(application).Count == 0),
                () => $"{point}: a part is left: {application.Describe()}; in groups {string.Join(' ', Members(application))}");
            Assert.Null(application.Work.Result);
            Assert.DoesNotContain(application.Work.Top, File.ReadAllText("/proc/self/mountinfo"), StringComparison.Ordinal);
            struck += KillPoints.StruckAfterSeize(File.ReadLines(log)) ? 1 : 0;
            restored += application.Processes().Count > 0 ? 1 : 0;
            EndAll(application);
        }

        output.WriteLine($"seed {LongMode.Seed}: {points.Count} of {all.Count} points, {struck} struck after the first SEIZE, {restored} times it had been restored");
        Assert.True(struck * 2 > points.Count, $"Only {struck} of {points.Count} injections struck inside the window.");
        application.Restore();
        application.RequirePass();
        // Empty groups of dead builders go when somebody else starts something minutes later; here they go now.
        Until.Required(() => Members(application).Count == 0, () => $"in groups {string.Join(' ', Members(application))}");
        foreach (var group in Groups(application).SelectMany(group => (string[])[Path.Combine(group, "app"), Path.Combine(group, "init"), group]).Where(Directory.Exists))
        {
            Directory.Delete(group);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Checkpoints_that_build_on_each_other_are_what_memory_was(string programCase)
    {
        using var application = TestApplication.StartProgram("pid_namespaces", programCase, configuration: "holdfast.checkpoint.hold-up-to = 1B\nholdfast.checkpoint.track-writes = verify\n");
        List<string> snapshots = [];
        for (var i = 0; i < LongMode.Count(3, 10); i++)
        {
            var taken = application.Checkpoint();
            Assert.Equal((i == 0 ? "full" : "incremental", i == 0 ? "null" : snapshots[^1]), (taken.Text("kind"), taken.Text("base")));
            Assert.True(i == 0 || taken.Number("pagesUnchanged") > 0, taken.ToString());
            snapshots.Add(taken.Text("snapshot")!);
        }

        application.Kill();
        foreach (var snapshot in snapshots)
        {
            application.Restore(snapshot);
            application.RequirePass();
        }
    }

    private static bool IsWhole(TestApplication application, int processes) =>
        application.Processes() is var all && all.Count == processes && all.All(process => ProcessScan.Threads(process.Pid).All(thread => thread.TracerPid == 0 && thread.State is not ('t' or 'T')));

    private static void EndAll(TestApplication application)
    {
        application.KillByForce();
        foreach (var pid in Members(application))
        {
            ProcessScan.Kill(pid);
        }

        Until.Required(() => Members(application).Count == 0, () => $"it was killed but lives: {string.Join(' ', Members(application))}");
    }

    private static List<string> Groups(TestApplication application) =>
        [.. File.ReadLines("/proc/self/mountinfo").Select(line => line.Split(' ')).Where(words => words[^3] == "cgroup2").Select(words => Path.Combine(words[4], "holdfast")).Distinct().Where(Directory.Exists)
            .SelectMany(folder => Directory.GetDirectories(folder, application.Name + ".*"))];

    private static List<int> Members(TestApplication application)
    {
        List<int> members = [];
        foreach (var group in Groups(application))
        {
            try
            {
                members.AddRange(Directory.GetFiles(group, "cgroup.procs", SearchOption.AllDirectories).SelectMany(File.ReadLines).Select(line => int.Parse(line, System.Globalization.CultureInfo.InvariantCulture)));
            }
            catch (IOException)
            {
                // It was removed meanwhile.
            }
        }

        return members;
    }
}
