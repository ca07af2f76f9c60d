using System.Globalization;
using System.Text.Json;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Applications that take part in their checkpoints through the preloaded interceptor: what it does for them, and that they do not suffer from it.</summary>
public sealed class InterceptTests
{
    private static readonly string[] OfTheDriver = ["live", "restored", "endless", "refuses", "stuck"];

    // A descriptor for /proc/PID/net/unix may be open in it at any moment.
    private static readonly string[] NotRestored = ["raw"];

    private static readonly string[] Intercept = ["--intercept"];

    public static TheoryData<string> LeftRunning => [.. Cases().Except(OfTheDriver).Append("live")];

    public static TheoryData<string> Restored => [.. Cases().Except(OfTheDriver).Except(NotRestored).Append("restored")];

    // One counts its threads, of which the library's is one.
    public static TheoryData<string, string> Programs => StateProgramScenarios.Some(16, except: "pids_and_tids");

    [Theory]
    [MemberData(nameof(LeftRunning))]
    public void What_is_intercepted_goes_on_after_a_checkpoint(string programCase)
    {
        using var application = Start(programCase);
        if (programCase == "sections")
        {
            // Only after a restore does it know.
            Lose(application);
        }
        else
        {
            // One connects all the time.
            var taken = programCase == "raw" ? application.CheckpointBetweenBytes() : application.Checkpoint();
            Assert.True(Intercepted(taken, "ready").GetInt32() > 0);
        }

        application.RequirePass();
    }

    [Theory]
    [MemberData(nameof(Restored))]
    public void What_is_intercepted_goes_on_after_a_restore(string programCase)
    {
        using var application = Start(programCase);
        Lose(application);
        application.RequirePass();
    }

    [Fact]
    public void What_streams_have_buffered_is_in_its_file_when_the_checkpoint_is_taken()
    {
        using var application = Start("stdio");
        Assert.Equal("", File.ReadAllText(application.Work.In("output")));
        Assert.Equal(0, Intercepted(application.CheckpointAndStop(), "unflushed").GetInt32());
        Assert.Equal("before\n", File.ReadAllText(application.Work.In("output")));
        application.Restore();
        application.RequirePass();
    }

    [Theory]
    [InlineData("endless", "the critical section \"moving the journal\"")]
    [InlineData("refuses", "its prepare hook answered 7")]
    public void Who_must_not_be_captured_now_is_named_and_goes_on(string programCase, string reason)
    {
        using var application = Start(programCase, "holdfast.checkpoint.deadlines.rendezvous = 1s");
        var refused = application.Holdfast("checkpoint", application.Name).RequiredToBeRefused();
        Assert.Equal("intercept.busy", refused.ErrorCode);
        Assert.Contains(reason, refused.Text("message"), StringComparison.Ordinal);
        Assert.Equal("Rendezvous", refused.Text("phase"));
        application.Work.Mark("leave");
        Until.Required(() => application.Work.Has("left"), () => $"it does not go on: {application.Describe()}");
        Lose(application);
        application.RequirePass();
    }

    [Fact]
    public void Who_is_not_ready_in_time_is_named_with_what_it_waits_for_and_nothing_is_taken()
    {
        using var application = Start("stuck", "holdfast.checkpoint.deadlines.rendezvous = 1s");
        var refused = application.Holdfast("checkpoint", application.Name).RequiredToBeRefused();
        Assert.Equal("intercept.late", refused.ErrorCode);
        Assert.Contains("it waits for its prepare hook 1", refused.Text("message"), StringComparison.Ordinal);
        Assert.Contains("pid 2, ", refused.Text("message"), StringComparison.Ordinal);
        application.Work.Mark("leave");
        application.RequirePass();
    }

    [Fact]
    public void Who_is_not_ready_in_time_is_captured_as_it_is_where_that_is_wanted()
    {
        using var application = Start("stuck", "holdfast.checkpoint.deadlines.rendezvous = 1s\nholdfast.intercept.late = go-on");
        var taken = application.Checkpoint();
        Assert.Contains("its prepare hook 1", Intercepted(taken, "late").ToString(), StringComparison.Ordinal);
        Assert.Contains("its prepare hook 1", taken.Text("warning"), StringComparison.Ordinal);
        application.Kill();
        application.Restore();
        application.Work.Mark("leave");
        application.RequirePass();
    }

    [Fact]
    public void A_checkpoint_waits_until_the_critical_section_is_over()
    {
        using var application = Start("endless");
        using var checkpoint = application.StartHoldfast("checkpoint", application.Name);
        // It has been asked, and holds the checkpoint up.
        Until.Required(() => application.Work.Has("asked"), () => $"nobody asks it: {application.Describe()}");
        Assert.False(checkpoint.HasEnded);
        application.Work.Mark("leave");
        checkpoint.Finish(Until.Bound).Required();
        Until.Required(() => application.Work.Has("left"), () => $"it does not go on: {application.Describe()}");
        application.RequirePass();
    }

    [Fact]
    public void A_supervisor_that_dies_while_processes_prepare_leaves_them_alone()
    {
        using var application = Start("endless");
        using var checkpoint = application.StartHoldfast("checkpoint", application.Name);
        Until.Required(() => application.Work.Has("asked"), () => $"nobody asks it: {application.Describe()}");
        Assert.All(application.Supervisors(), supervisor => ProcessScan.Kill(supervisor.Pid));
        Until.Required(() => !Talks(application), () => $"it does not notice: {application.Describe()}");
        application.Work.Mark("leave");
        Until.Required(() => application.Work.Has("left"), () => $"it does not go on: {application.Describe()}");
        // Whoever supervises it next finds it as it was.
        Lose(application);
        application.RequirePass();
    }

    /// <summary>System calls with which a checkpoint makes processes meet, and how many of each are struck. A run takes two kinds in turn, the long one all.</summary>
    private static readonly string[] AtTheBarrier = ["pwrite64 6", "futex 3", "accept4 3", "sendto 4", "shutdown 2"];

    public static TheoryData<string, int> Barrier
    {
        get
        {
            TheoryData<string, int> points = [];
            foreach (var row in Rotation.Of(AtTheBarrier, 2))
            {
                var words = ((string)row[0]).Split(' ');
                points.Add(words[0], int.Parse(words[1], CultureInfo.InvariantCulture));
            }

            return points;
        }
    }

    [Theory]
    [MemberData(nameof(Barrier))]
    public void A_checkpoint_that_is_killed_at_the_barrier_leaves_the_application_alone(string call, int times)
    {
        using var application = TestApplication.StartProgram("steady", "", options: Intercept);
        Assert.All(application.Supervisors(), supervisor => ProcessScan.Kill(supervisor.Pid));
        Until.Required(() => application.Supervisors().Count == 0, () => "the supervisor does not die");
        HealthCheck health = new(application);
        var log = Path.Combine(application.Work.Scratch, "strace.log");
        for (var time = 1; time <= times; time++)
        {
            KillPoint point = new(call, time);
            application.HoldfastUnder(["strace", "-f", "-qq", "-o", log, "-e", "trace=exit_group," + call, "-e", KillPoints.Injection(point)], "checkpoint", application.Name);
            health.Require($"killed at {point}");
        }

        // What the dead ones have left on the board and in the processes is in nobody's way.
        Assert.Equal(5, Intercepted(application.Checkpoint(), "ready").GetInt32());
        health.Require("after a checkpoint");
        application.RequirePass();
    }

    [Fact]
    public void Static_programs_beside_dynamic_ones_are_captured_with_them()
    {
        using var application = TestApplication.NotStarted("mixed");
        var (registers, files) = (application.Work.In("one"), application.Work.In("two"));
        Directory.CreateDirectory(registers);
        Directory.CreateDirectory(files);
        application.Options = Intercept;
        application.Start(
        [
            "bash", "-c", $"{BuiltPrograms.StateProgram("registers")} {registers} & {BuiltPrograms.StateProgram("file_offsets")} {files} & "
                + $"until [ -e {registers}/ready -a -e {files}/ready ]; do sleep 0.05; done; : >{application.Work.In("ready")}; wait; cat {registers}/result {files}/result | sort -u >{application.Work.In("result")}",
        ]);
        var row = application.Holdfast("check", application.Name).Objects.Single(o => o.TryGetProperty("subject", out var subject) && subject.GetString() == "intercepted");
        Assert.Equal("caveat", row.GetProperty("verdict").GetString());
        Assert.StartsWith("2 of 3 processes: ", row.GetProperty("what").GetString(), StringComparison.Ordinal);
        Assert.Contains("/registers (pid ", row.GetProperty("what").GetString(), StringComparison.Ordinal);
        var taken = application.Checkpoint();
        Assert.Equal(2, Intercepted(taken, "ready").GetInt32());
        Assert.EndsWith("/registers", Intercepted(taken, "without")[0].GetString(), StringComparison.Ordinal);
        application.Kill();
        application.Restore();
        File.WriteAllText(Path.Combine(registers, "go"), "");
        File.WriteAllText(Path.Combine(files, "go"), "");
        application.RequirePass();
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_program_goes_on_as_without_the_interceptor(string program, string programCase)
    {
        using var application = TestApplication.StartProgram(program, programCase, 8, options: Intercept);
        if (application.Skipped)
        {
            return;
        }

        StateProgramScenarios.Lose(application, program);
        application.Restore();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void An_ordinary_users_application_takes_part_as_well()
    {
        using var application = TestApplication.StartProgram("intercepted", "restored", user: new OrdinaryUser(OrdinaryUser.UsualId), options: Intercept);
        Assert.False(application.Skipped);
        Assert.Equal(2, Intercepted(application.Checkpoint(), "ready").GetInt32());
        application.KillByForce();
        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void It_needs_a_shared_memory_directory_of_its_own()
    {
        using var application = TestApplication.NotStarted("shm");
        var refused = application.Holdfast("run", "--intercept", "--isolate", "pid,mount", "--", "true");
        Assert.Equal("usage", refused.ErrorCode);
        Assert.Contains("leave shm in --isolate", refused.Text("message"), StringComparison.Ordinal);
    }

    private static TestApplication Start(string programCase, string configuration = "")
    {
        var application = TestApplication.StartProgram("intercepted", programCase, options: Intercept, configuration: configuration);
        return application.Skipped ? throw new EndToEndException("the interceptor is not there") : application;
    }

    private static IEnumerable<string> Cases() => StateProgram.Named("intercepted").Cases;

    private static JsonElement Intercepted(CommandResult taken, string field) =>
        taken.Objects.Single(o => o.TryGetProperty("intercepted", out _)).GetProperty("intercepted").GetProperty(field);

    /// <summary>A checkpoint whose files are those of its moment, as the interceptor writes some before it.</summary>
    private static void Lose(TestApplication application)
    {
        application.CheckpointAndStop();
        application.Restore();
    }

    private static bool Talks(TestApplication application) => application.Processes().Any(process => ProcessScan.Threads(process.Pid).Any(thread => thread.Name == "holdfast-talk"));
}
