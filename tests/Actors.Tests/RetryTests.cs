using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>What is refused because of a moment is tried again for a while; all else is not.</summary>
public sealed class RetryTests
{
    [Fact]
    public async Task A_moment_is_waited_for()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge, retryFor: Harness.Patience).StartedAsync();
        int refused = 0;
        bridge.RefusesInLocate = pid => pid == 1 && refused++ < 3 ? [Refused("socket.unsent")] : [];

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(4, refused);
        Assert.Single(harness.Store.Committed);
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData("socket.unsent", "fd.socket")]
    [InlineData("fd.socket", "fd.socket")]
    public async Task What_stays_is_refused_at_once(string first, string second)
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge, retryFor: Harness.Patience).StartedAsync();
        int asked = 0;
        bridge.RefusesInLocate = _ =>
        {
            asked++;
            return [Refused(first), Refused(second)];
        };

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(first, failure.Code);
        Assert.Equal(1, asked);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task One_that_lasts_is_refused_in_the_end()
    {
        FakeBridge bridge = new(1);
        ClockThatLeaps time = new();
        await using Harness harness = await new Harness(bridge, retryFor: Harness.Patience, time: time).StartedAsync();
        int asked = 0;
        bridge.RefusesInLocate = _ =>
        {
            if (++asked == 3)
            {
                time.Leap(Harness.Patience);
            }

            return [Refused("pty.unread")];
        };

        Assert.Equal("pty.unread", (await harness.FailureAsync()).Code);
        Assert.Equal(3, asked);
        // And the next request is one of its own.
        bridge.RefusesInLocate = _ => [];
        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());
    }

    [Fact]
    public async Task It_is_called_off_between_two_attempts_too()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge, retryFor: Harness.Patience).StartedAsync();
        using ManualResetEventSlim refused = new();
        bridge.RefusesInLocate = _ =>
        {
            refused.Set();
            return [Refused("socket.pending")];
        };
        Task<object> answer = harness.Ask(new TakeCheckpoint());
        Assert.True(refused.Wait(Harness.Patience));

        harness.Supervisor.Tell(new CancelCheckpoint(), Akka.Actor.ActorRefs.NoSender);

        Assert.Contains(Assert.IsType<CheckpointFailed>(await answer).Failure.Code, new[] { OperationFailure.CancelledCode, "socket.pending" });
        harness.AssertEverythingLetGo();
    }

    private static Refusal Refused(string code) => new(code, 1, null, "it", "no", "later");

    private sealed class ClockThatLeaps : TimeProvider
    {
        private long _ahead;

        public void Leap(TimeSpan time) => Interlocked.Add(ref _ahead, time.Ticks * TimestampFrequency / TimeSpan.TicksPerSecond);

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref _ahead);
    }
}
