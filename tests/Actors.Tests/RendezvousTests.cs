using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>An application that is intercepted comes together before it is frozen, and is let go whatever happens.</summary>
public sealed class RendezvousTests
{
    [Theory]
    [InlineData(CaptureMode.CopyInsideFreeze)]
    [InlineData(CaptureMode.FrozenCopy)]
    public async Task It_is_gathered_while_all_run_and_let_go_when_all_run_again(CaptureMode mode)
    {
        FakeBridge bridge = new(1, 2, 3);
        FakeRendezvous rendezvous = new(bridge);
        await using Harness harness = await new Harness(bridge, mode).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(["gather: 0 stand", "release: 0 stand", "dispose"], rendezvous.Seen);
        Assert.Equal(3, taken.Gathered!.Ready);
        Assert.Null(taken.Warning);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Who_refuses_keeps_the_application_running_and_all_are_let_go()
    {
        FakeBridge bridge = new(1, 2);
        FakeRendezvous rendezvous = new(bridge) { Gathering = _ => throw new BridgeException([new Refusal("intercept.busy", 2, null, "x", "not now", "later")]) };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(("Rendezvous", "intercept.busy"), (failure.Phase, failure.Code));
        Assert.Equal(["gather: 0 stand", "release: 0 stand", "dispose"], rendezvous.Seen);
        Assert.DoesNotContain(bridge.Calls, call => call.StartsWith("Freeze", StringComparison.Ordinal));
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task Who_is_late_is_a_warning_where_it_goes_on()
    {
        FakeBridge bridge = new(1);
        FakeRendezvous rendezvous = new(bridge) { Gathering = _ => new RendezvousReport(0, [], ["pid 1, x: it was late"], 0, TimeSpan.Zero) };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal("pid 1, x: it was late", taken.Warning);
        Assert.Contains("release: 0 stand", rendezvous.Seen);
    }

    [Theory]
    [InlineData(false, "CaptureState")]
    [InlineData(false, "PumpPages")]
    [InlineData(true, "PumpPages")]
    public async Task A_checkpoint_that_fails_later_lets_all_go_once(bool end, string call)
    {
        FakeBridge bridge = new(1, 2);
        FakeRendezvous rendezvous = new(bridge);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        bridge.Before = (called, _) =>
        {
            if (called == call)
            {
                throw new BridgeException("x.failed", "doing it", "no");
            }
        };

        await harness.FailureAsync(new TakeCheckpoint(EndAfterwards: end));

        Assert.Equal(["gather: 0 stand", "release: 0 stand", "dispose"], rendezvous.Seen);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Who_ends_with_the_checkpoint_is_told_nothing()
    {
        FakeBridge bridge = new(1, 2);
        FakeRendezvous rendezvous = new(bridge);
        await using Harness harness = await new Harness(bridge).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: true));

        Assert.Equal(["gather: 0 stand", "abandon", "dispose"], rendezvous.Seen);
    }

    [Fact]
    public async Task Waiting_for_processes_is_ended_by_the_call_to_call_off()
    {
        FakeBridge bridge = new(1);
        using ManualResetEventSlim begun = new();
        FakeRendezvous rendezvous = new(bridge)
        {
            Gathering = cancellation =>
            {
                begun.Set();
                cancellation.WaitHandle.WaitOne();
                cancellation.ThrowIfCancellationRequested();
                return null!;
            },
        };
        await using Harness harness = await new Harness(bridge).StartedAsync();
        Task<object> answer = harness.Ask(new TakeCheckpoint());
        Assert.True(begun.Wait(Harness.Patience));

        harness.Supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender);

        Assert.Equal(OperationFailure.CancelledCode, Assert.IsType<CheckpointFailed>(await answer).Failure.Code);
        Assert.Equal(["gather: 0 stand", "release: 0 stand", "dispose"], rendezvous.Seen);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task What_cannot_be_opened_calls_the_checkpoint_off()
    {
        FakeBridge bridge = new(1) { Rendezvous = () => throw new BridgeException("intercept.board", "reading it", "it was changed") };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        Assert.Equal("intercept.board", (await harness.FailureAsync()).Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    private sealed class FakeRendezvous : IRendezvous
    {
        private readonly FakeBridge _bridge;
        private readonly List<string> _seen = [];

        public FakeRendezvous(FakeBridge bridge)
        {
            _bridge = bridge;
            bridge.Rendezvous = () => this;
        }

        public IReadOnlyList<string> Seen
        {
            get
            {
                lock (_seen)
                {
                    return [.. _seen];
                }
            }
        }

        public Func<CancellationToken, RendezvousReport> Gathering { get; init; } = _ => new RendezvousReport(3, [], [], 0, TimeSpan.Zero);

        private int Standing => _bridge.Processes.Count(p => p.Stands) + (_bridge.Frozen ? 10 : 0);

        public RendezvousReport Gather(RendezvousOrder order, CancellationToken cancellation)
        {
            Add($"gather: {Standing} stand");
            return Gathering(cancellation);
        }

        public void Release() => Add($"release: {Standing} stand");

        public void Abandon() => Add("abandon");

        public void Dispose() => Add("dispose");

        private void Add(string what)
        {
            lock (_seen)
            {
                _seen.Add(what);
            }
        }
    }
}
