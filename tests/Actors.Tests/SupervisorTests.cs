using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

public sealed class SupervisorTests
{
    private static LaunchApplication Launch => new(new LaunchRequest
    {
        Name = "app", Command = ["true"], Environment = [], WorkingDirectory = "/", StateDirectory = "/nowhere",
    });

    [Fact]
    public async Task An_application_that_was_started_is_on_record_then_kept_before_anybody_hears_of_it()
    {
        await using Harness harness = new(new FakeBridge());
        bool? keptBefore = null;
        harness.OnStarted = () => keptBefore = harness.Bridge.Application.Kept;

        ApplicationStarted started = await harness.AskAsync<ApplicationStarted>(Launch);

        // On record first: what outlives its supervisor must be found again.
        Assert.False(keptBefore);
        Assert.True(harness.Bridge.Application.Kept);
        Assert.Equal(101, started.MainPid);
    }

    [Fact]
    public async Task An_application_that_could_not_be_recorded_is_killed()
    {
        await using Harness harness = new(new FakeBridge());
        harness.OnStarted = () => throw new IOException("disk full");

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Launch)).Failure;

        Assert.Equal("io", failure.Code);
        Assert.Equal(137, await harness.Bridge.Application.Exited.WaitAsync(Harness.Patience));
    }

    [Fact]
    public async Task A_launch_that_fails_says_why()
    {
        FakeBridge bridge = new();
        bridge.Before = (c, _) => _ = c == "Launch" ? throw new BridgeException("exec.not_found", "nothing", "not found") : 0;
        await using Harness harness = new(bridge);

        Assert.Equal("exec.not_found", (await harness.AskAsync<StartFailed>(Launch)).Failure.Code);
    }

    [Fact]
    public async Task Its_exit_status_is_told_to_whoever_waits_and_to_whoever_asks_later()
    {
        await using Harness harness = await new Harness(new FakeBridge()).StartedAsync();
        Task<ApplicationExited> waiting = harness.AskAsync<ApplicationExited>(new WaitForExit());

        harness.Bridge.Application.Exit(3);

        Assert.Equal(3, (await waiting).Status);
        Assert.Equal(3, (await harness.AskAsync<ApplicationExited>(new WaitForExit())).Status);
        Assert.Equal("application.ended", (await harness.FailureAsync()).Code);
    }

    [Fact]
    public async Task Whoever_waits_for_checkpoints_to_be_over_hears_of_it_after_those_that_were_asked_for_before()
    {
        await using Harness harness = await new Harness(new FakeBridge(1)).StartedAsync();
        await harness.AskAsync<NoCheckpointUnderWay>(new AwaitNoCheckpoint());
        using ManualResetEventSlim hold = new();
        harness.Store.Before = call =>
        {
            if (call == "Commit")
            {
                hold.Wait(Harness.Patience);
            }
        };

        Task<CheckpointTaken> taken = harness.AskAsync<CheckpointTaken>(new TakeCheckpoint { Tags = new Dictionary<string, string> { ["policy"] = "x" } });
        Task<NoCheckpointUnderWay> waiting = harness.AskAsync<NoCheckpointUnderWay>(new AwaitNoCheckpoint());
        Assert.False(waiting.IsCompleted);
        hold.Set();
        await waiting;

        Assert.Equal("x", Assert.Single(harness.Store.Committed).Tags["policy"]);
        await taken;
    }

    [Fact]
    public async Task Signals_reach_the_application()
    {
        await using Harness harness = await new Harness(new FakeBridge()).StartedAsync();
        harness.Bridge.Application.OnSignal = signal => harness.Bridge.Application.Exit(128 + signal);

        harness.Supervisor.Tell(new SendSignal(10), ActorRefs.NoSender);

        Assert.Equal(138, (await harness.AskAsync<ApplicationExited>(new WaitForExit())).Status);
    }

    [Fact]
    public async Task Stopping_lets_an_application_end_by_itself()
    {
        await using Harness harness = await new Harness(new FakeBridge()).StartedAsync();
        harness.Bridge.Application.OnSignal = _ => harness.Bridge.Application.Exit(0);

        Assert.Equal(0, (await harness.AskAsync<ApplicationExited>(new StopApplication(Harness.Patience))).Status);
        Assert.Equal([15], harness.Bridge.Application.Signals);
        Assert.Equal(0, harness.Bridge.Application.Kills);
    }

    [Fact]
    public async Task Stopping_kills_an_application_that_does_not_end_by_itself()
    {
        await using Harness harness = await new Harness(new FakeBridge()).StartedAsync();

        Assert.Equal(137, (await harness.AskAsync<ApplicationExited>(new StopApplication(TimeSpan.FromMilliseconds(20)))).Status);
        Assert.Equal([15], harness.Bridge.Application.Signals);
    }

    [Fact]
    public async Task Killing_calls_off_a_checkpoint_that_is_under_way()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        using ManualResetEventSlim pumping = new();
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        harness.OnPhase = p =>
        {
            if (p == CheckpointPhase.Finish)
            {
                pumping.Set();
            }
        };
        bridge.Before = (c, _) =>
        {
            if (c == "PumpPages")
            {
                begun.TrySetResult();
                pumping.Wait();
            }
        };
        Task<object> checkpoint = harness.Ask(new TakeCheckpoint());
        await begun.Task.WaitAsync(Harness.Patience);

        ApplicationExited exited = await harness.AskAsync<ApplicationExited>(new KillApplication());

        Assert.Equal(137, exited.Status);
        Assert.IsType<CheckpointFailed>(await checkpoint);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task Checkpoints_are_taken_by_themselves_as_often_as_asked()
    {
        await using Harness harness = new(new FakeBridge(1), every: TimeSpan.FromMilliseconds(10));
        TaskCompletionSource thrice = new(TaskCreationOptions.RunContinuationsAsynchronously);
        int taken = 0;
        harness.OnPeriodic = outcome =>
        {
            if (outcome is CheckpointTaken && ++taken == 3)
            {
                thrice.SetResult();
            }
        };

        await harness.StartedAsync();

        await thrice.Task.WaitAsync(Harness.Patience);
    }

    [Fact]
    public async Task The_end_of_the_supervisor_leaves_the_application_alone()
    {
        Harness harness = await new Harness(new FakeBridge(1)).StartedAsync();

        await harness.DisposeAsync();

        Assert.True(harness.Bridge.Application.Disposed);
        Assert.Equal(0, harness.Bridge.Application.Kills);
        Assert.False(harness.Bridge.Application.Exited.IsCompleted);
    }
}
