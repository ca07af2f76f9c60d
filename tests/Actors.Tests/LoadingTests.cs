using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>Memory that is loaded while the application runs already.</summary>
public sealed class LoadingTests
{
    private static RestoreApplication Order => new(new RestoreRequest
    {
        Name = "app", Image = Array.Empty<byte>(), Pages = new FakePages(), StateDirectory = "/nowhere", Lazy = true,
    });

    private static AdoptApplication Adoption(FakeBridge bridge) => new(bridge.Application.Target)
    {
        Pages = () => new LoadingSource(Array.Empty<byte>(), new FakePages()),
    };

    [Fact]
    public async Task The_application_runs_before_its_memory_is_loaded_and_its_host_learns_when_it_is()
    {
        FakeLoading loading = new();
        await using Harness harness = new(new FakeBridge { Loading = loading });

        ApplicationStarted started = await harness.AskAsync<ApplicationStarted>(Order);

        Assert.Equal(30, started.Loading!.Value.Percent);
        Assert.False(harness.Loaded.IsCompleted);
        Assert.Equal(30, (await harness.AskAsync<ApplicationStatus>(new GetStatus())).Loading!.Value.Percent);
        loading.Complete();
        await harness.Loaded.WaitAsync(Harness.Patience);
        Assert.Null((await harness.AskAsync<ApplicationStatus>(new GetStatus())).Loading);
        await harness.TerminateAsync();
        Assert.True(loading.Disposed);
    }

    [Fact]
    public async Task Loading_is_at_work_while_the_steps_that_follow_need_pages()
    {
        FakeLoading loading = new();
        using ManualResetEventSlim working = new();
        loading.OnStep = working.Set;
        FakeBridge bridge = new() { Loading = loading };
        bridge.Before = (call, _) => Assert.True(call != "BuildThreads" || working.Wait(Harness.Patience));
        await using Harness harness = new(bridge);

        await harness.AskAsync<ApplicationStarted>(Order);
    }

    [Fact]
    public async Task A_checkpoint_hurries_the_loading_and_begins_after_it()
    {
        FakeLoading loading = new();
        FakeBridge bridge = new(1) { Loading = loading };
        await using Harness harness = new(bridge);
        await harness.AskAsync<ApplicationStarted>(Adoption(bridge));

        Task<object> checkpoint = harness.Ask(new TakeCheckpoint());
        await harness.AskAsync<ApplicationStatus>(new GetStatus());

        Assert.True(loading.Hurried);
        Assert.DoesNotContain("FindProcesses", bridge.Calls);
        loading.Complete();
        Assert.IsType<CheckpointTaken>(await checkpoint);
    }

    [Fact]
    public async Task A_checkpoint_that_waits_for_memory_can_be_called_off_and_has_a_time_out()
    {
        FakeLoading loading = new();
        FakeBridge bridge = new(1) { Loading = loading };
        await using Harness harness = new(bridge);
        await harness.AskAsync<ApplicationStarted>(Adoption(bridge));

        Task<OperationFailure> calledOff = harness.FailureAsync();
        harness.Supervisor.Tell(new CancelCheckpoint(), Akka.Actor.ActorRefs.NoSender);
        Assert.Equal(OperationFailure.CancelledCode, (await calledOff).Code);

        OperationFailure late = await harness.FailureAsync(new TakeCheckpoint(Timeout: TimeSpan.FromMilliseconds(1)));
        Assert.True(late.TimedOut);
        Assert.Contains("30 %", late.Message, StringComparison.Ordinal);

        loading.Complete();
        await harness.Loaded.WaitAsync(Harness.Patience);
        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());
    }

    [Fact]
    public async Task An_application_whose_memory_is_lost_is_killed_and_its_host_learns_why()
    {
        FakeLoading loading = new();
        await using Harness harness = new(new FakeBridge { Loading = loading });
        await harness.AskAsync<ApplicationStarted>(Order);

        loading.Fail(new IOException("damaged: packs/7.pack"));

        await harness.AskAsync<ApplicationExited>(new WaitForExit());
        Assert.Equal(1, harness.Bridge.Application.Kills);
        Assert.Contains("packs/7.pack", harness.Lost!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_restore_whose_pages_are_lost_before_it_runs_fails_with_that()
    {
        FakeLoading loading = new();
        FakeBridge bridge = new() { Loading = loading };
        bridge.Before = (call, _) =>
        {
            if (call == "BuildThreads")
            {
                loading.Fail(new IOException("damaged: packs/7.pack"));
                // As long as the page would be waited for.
                Assert.True(SpinWait.SpinUntil(() => loading.Disposed, Harness.Patience));
            }
        };
        await using Harness harness = new(bridge);

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Order)).Failure;

        Assert.Contains("packs/7.pack", failure.Message, StringComparison.Ordinal);
        // The loss may be told when the last step is over already.
        Assert.True(SpinWait.SpinUntil(() => !bridge.Restore!.Runs || bridge.Application.Kills > 0, Harness.Patience));
    }

    [Fact]
    public async Task Who_adopts_without_the_snapshot_can_end_the_application_and_not_checkpoint_it()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = new(bridge);

        ApplicationStarted started = await harness.AskAsync<ApplicationStarted>(
            new AdoptApplication(bridge.Application.Target) { Pages = () => throw new IOException("the store is away") });

        Assert.Contains("the store is away", started.Held!.Message, StringComparison.Ordinal);
        Assert.Contains("the store is away", (await harness.FailureAsync()).Message, StringComparison.Ordinal);
        await harness.AskAsync<ApplicationExited>(new KillApplication());
    }
}
