using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>What is run around the freeze.</summary>
public sealed class HookTests
{
    [Theory]
    [InlineData(CaptureMode.CopyInsideFreeze)]
    [InlineData(CaptureMode.FrozenCopy)]
    public async Task They_run_while_all_run_one_before_the_freeze_and_one_after_it(CaptureMode mode)
    {
        FakeBridge bridge = new(1, 2, 3);
        await using Harness harness = await new Harness(bridge, mode).StartedAsync();
        FakeHooks hooks = new(() => bridge.Processes.Count(p => p.Stands) + (bridge.Frozen ? 10 : 0));
        harness.Hooks = hooks;

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(["before: 0 stand", "after True: 0 stand"], hooks.Seen);
        Assert.Null(taken.Warning);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task One_that_fails_before_keeps_the_application_running_and_the_other_is_run()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        FakeHooks hooks = new(() => bridge.Calls.Count(c => c.Contains("Stop", StringComparison.Ordinal))) { Before = _ => throw new BridgeException("hook.failed", "running it", "no") };
        harness.Hooks = hooks;

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(("Hooks", "hook.failed"), (failure.Phase, failure.Code));
        Assert.Equal(["before: 0 stand", "after False: 0 stand"], hooks.Seen);
        Assert.Empty(harness.Store.Committed);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task One_that_fails_afterwards_is_a_warning()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        harness.Hooks = new FakeHooks(() => 0) { After = () => throw new BridgeException("hook.failed", "running it", "too late") };

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Contains("too late", taken.Warning, StringComparison.Ordinal);
        Assert.Single(harness.Store.Committed);
    }

    [Theory]
    [InlineData(false, "CaptureState")]
    [InlineData(false, "PumpPages")]
    [InlineData(true, "PumpPages")]
    public async Task A_checkpoint_that_fails_later_is_followed_too(bool end, string call)
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        FakeHooks hooks = new(() => bridge.Processes.Count(p => p.Stands));
        harness.Hooks = hooks;
        bridge.Before = (called, _) =>
        {
            if (called == call)
            {
                throw new BridgeException("x.failed", "doing it", "no");
            }
        };

        await harness.FailureAsync(new TakeCheckpoint(EndAfterwards: end));

        Assert.Equal(["before: 0 stand", $"after {call == "PumpPages"}: 0 stand"], hooks.Seen);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Who_ends_with_the_checkpoint_is_not_told_to_go_on()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        FakeHooks hooks = new(() => 0);
        harness.Hooks = hooks;

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: true));

        Assert.Equal(["before: 0 stand"], hooks.Seen);
    }

    [Fact]
    public async Task One_that_lasts_is_ended_by_the_call_to_call_off()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        using ManualResetEventSlim begun = new();
        FakeHooks hooks = new(() => 0)
        {
            Before = cancellation =>
            {
                begun.Set();
                cancellation.WaitHandle.WaitOne();
                cancellation.ThrowIfCancellationRequested();
            },
        };
        harness.Hooks = hooks;
        Task<object> answer = harness.Ask(new TakeCheckpoint());
        Assert.True(begun.Wait(Harness.Patience));

        harness.Supervisor.Tell(new CancelCheckpoint(), Akka.Actor.ActorRefs.NoSender);

        Assert.Equal(OperationFailure.CancelledCode, Assert.IsType<CheckpointFailed>(await answer).Failure.Code);
        Assert.Equal(["before: 0 stand", "after False: 0 stand"], hooks.Seen);
        harness.AssertEverythingLetGo();
    }

    private sealed class FakeHooks(Func<int> standing) : IApplicationHooks
    {
        public List<string> Seen { get; } = [];

        public Action<CancellationToken> Before { get; init; } = _ => { };

        public Action After { get; init; } = () => { };

        public void BeforeFreeze(CancellationToken cancellation)
        {
            Seen.Add($"before: {standing()} stand");
            Before(cancellation);
        }

        public void AfterResume(bool captured)
        {
            Seen.Add($"after {captured}: {standing()} stand");
            After();
        }
    }
}
