using Holdfast.Actors.Checkpoint;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Tests;

public sealed class UnitTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("holdfast-test-").FullName;

    private ApplicationDirectory Application => new(Path.Combine(_directory, "app"), "app");

    private static ApplicationRecord Record => new()
    {
        Name = "app", Command = ["true"], Target = new ApplicationTarget(ApplicationScope.Space, 1, 1, "another boot"), Started = DateTimeOffset.UtcNow,
    };

    public void Dispose() => Directory.Delete(_directory, true);

    [Theory]
    [InlineData("web", true)]
    [InlineData("Web-2.0_x", true)]
    [InlineData("7", true)]
    [InlineData("", false)]
    [InlineData(".", false)]
    [InlineData("..", false)]
    [InlineData("-x", false)]
    [InlineData("a/b", false)]
    [InlineData("a@b", false)]
    [InlineData("a b", false)]
    [InlineData("ä", false)]
    public void Names_are_those_that_can_be_directories_and_host_names(string name, bool valid)
    {
        Assert.Equal(valid, ApplicationName.IsValid(name));
        Assert.True(ApplicationName.IsValid(ApplicationName.From(name)));
    }

    [Fact]
    public void A_name_may_have_63_characters_and_no_more()
    {
        Assert.True(ApplicationName.IsValid(new string('a', 63)));
        Assert.False(ApplicationName.IsValid(new string('a', 64)));
    }

    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("30s", 30_000)]
    [InlineData("30", 30_000)]
    [InlineData("1.5m", 90_000)]
    [InlineData("2h", 7_200_000)]
    [InlineData("1d", 86_400_000)]
    public void Durations_are_read(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out TimeSpan time));
        Assert.Equal(milliseconds, time.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("0s")]
    [InlineData("-1s")]
    [InlineData("3q")]
    [InlineData("1e3s")]
    [InlineData("99999d")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(Duration.TryParse(text, out _));

    [Fact]
    public void The_defaults_of_the_reference_configuration_are_complete_and_valid()
    {
        HoldfastSettings settings = HoldfastSettings.From(null, "defaults");

        Assert.Equal(CaptureMode.FrozenCopy, settings.Checkpoints.Mode);
        Assert.Equal(Environment.ProcessorCount, settings.Checkpoints.ParallelPumps);
        Assert.All(Enum.GetValues<CheckpointPhase>(), p => Assert.True(settings.Checkpoints.Deadline(p) > TimeSpan.Zero));
        Assert.All(Enum.GetValues<Actors.Restore.RestoreStep>(), s => Assert.True(settings.Restores.Deadline(s) > TimeSpan.Zero));
    }

    [Fact]
    public void What_is_configured_goes_before_the_default_and_leaves_the_others()
    {
        HoldfastSettings settings = HoldfastSettings.From("holdfast { keep-processors-awake = off, checkpoint { parallel-pumps = 7, deadlines.drain = 90s } }", "test");

        Assert.Equal(7, settings.Checkpoints.ParallelPumps);
        Assert.False(settings.KeepProcessorsAwake);
        Assert.Equal(TimeSpan.FromSeconds(90), settings.Checkpoints.Deadline(CheckpointPhase.Drain));
        Assert.Equal(TimeSpan.FromSeconds(10), settings.Checkpoints.Deadline(CheckpointPhase.Prepare));
    }

    [Fact]
    public void A_record_comes_back_as_it_was_written()
    {
        Application.Create();
        ApplicationRecord record = Record with { MainPid = 7, EverySeconds = 1.5, RestoredFrom = "s1" };

        Application.Write(record);

        Assert.Equivalent(record, Application.Read(), strict: true);
        Assert.Equal(["app.json"], Directory.EnumerateFiles(Application.Path).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{\"version\": 1}")]
    [InlineData("{\"version\": 99, \"name\": \"a\", \"command\": [], \"target\": {\"scope\": \"Space\", \"rootPid\": 1, \"rootStartTime\": 1, \"bootId\": \"\"}}")]
    public void A_record_that_is_damaged_is_an_error_with_its_path(string text)
    {
        Application.Create();
        File.WriteAllText(Path.Combine(Application.Path, "app.json"), text);

        HoldfastException error = Assert.Throws<HoldfastException>(() => Application.Read());

        Assert.Equal("app.damaged", error.Code);
        Assert.Contains(Application.Path, error.Message);
    }

    [Fact]
    public void Only_one_supervisor_holds_the_lock_and_the_next_has_it_afterwards()
    {
        Application.Create();
        using (ApplicationLock first = Application.TryLock()!)
        {
            Assert.NotNull(first);
            Assert.Null(Application.TryLock());
        }

        using ApplicationLock? second = Application.TryLock();
        Assert.NotNull(second);
    }

    [Fact]
    public void An_application_of_another_boot_or_of_a_pid_that_came_back_does_not_run()
    {
        int pid = Environment.ProcessId;
        ulong started = Host.StartTime(pid)!.Value;
        ApplicationRecord own = Record with { Target = new ApplicationTarget(ApplicationScope.Tree, pid, started, Host.BootId()) };

        Assert.True(ApplicationDirectory.Runs(own));
        Assert.False(ApplicationDirectory.Runs(own with { Target = own.Target with { BootId = "another" } }));
        Assert.False(ApplicationDirectory.Runs(own with { Target = own.Target with { RootStartTime = started + 1 } }));
        Assert.False(ApplicationDirectory.Runs(own with { Ended = DateTimeOffset.UtcNow }));
    }

    [Fact]
    public async Task A_supervisor_that_is_ending_is_waited_for_and_one_whose_application_runs_is_not()
    {
        ApplicationDirectory application = Application;
        application.Create();
        application.Write(Record);
        ApplicationLock ending = application.TryLock()!;
        Assert.Null(ApplicationSlot.Take(application, TimeSpan.Zero));

        Task ended = Task.Run(async () =>
        {
            await Task.Delay(100);
            ending.Dispose();
        });
        ApplicationSlot.Take(application, TimeSpan.FromMinutes(1))!.Value.Lock.Dispose();
        await ended;

        // It runs: its supervisor, which holds the lock, will hold it on, and what nobody supervises runs too.
        application.Write(Record with { Target = Record.Target with { RootPid = Environment.ProcessId, RootStartTime = Host.StartTime(Environment.ProcessId)!.Value, BootId = Host.BootId() } });
        Assert.Null(ApplicationSlot.Take(application, TimeSpan.FromDays(1)));
        using ApplicationLock held = application.TryLock()!;
        Assert.Null(ApplicationSlot.Take(application, TimeSpan.FromDays(1)));
    }
}
