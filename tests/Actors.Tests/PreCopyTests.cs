using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors.Tests;

/// <summary>Rounds before a checkpoint with which the application ends: none of them is left, and none of them can make it fail.</summary>
public sealed class PreCopyTests
{
    [Fact]
    public async Task A_round_is_taken_while_the_application_runs_and_its_snapshot_goes_when_the_last_one_is_there()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge, preCopyRounds: 3).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: true));

        // So little is left by the first that there is no second.
        // Four pages of each process, and what the fake has of shared memory.
        Assert.Equal((1, (2 * 4 * 4096L) + 16), (taken.PreCopy!.Rounds, taken.PreCopy.AllBytes));
        Assert.Equal("s2", taken.Receipt.Snapshot);
        Assert.Equal(["s1"], harness.Store.Forgotten);
    }

    [Theory]
    [InlineData(999, true, false)]
    [InlineData(1000, false, false)]
    [InlineData(1000, true, true)]
    public async Task No_round_is_taken_of_little_memory_of_what_goes_on_or_where_all_is_to_be_read(long memory, bool end, bool full)
    {
        FakeBridge bridge = new(1) { Memory = memory };
        await using Harness harness = await new Harness(bridge, preCopyRounds: 3).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: end) { Full = full });

        Assert.Null(taken.PreCopy);
        Assert.Single(harness.Store.Committed);
        Assert.Empty(harness.Store.Forgotten);
    }

    [Fact]
    public async Task A_round_that_fails_is_the_last()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge, preCopyRounds: 3).StartedAsync();
        int commits = 0;
        harness.Store.Before = call => _ = call == "Commit" && ++commits == 1 ? throw new SnapshotStoreException("store.full", "full") : 0;

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: true));

        Assert.Null(taken.PreCopy);
        Assert.Equal(2, commits);
        Assert.Empty(harness.Store.Forgotten);
    }

    [Fact]
    public async Task A_checkpoint_that_fails_after_its_rounds_leaves_none_of_them_and_the_application_runs()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge, preCopyRounds: 3).StartedAsync();
        int commits = 0;
        harness.Store.Before = call => _ = call == "Commit" && ++commits == 2 ? throw new SnapshotStoreException("store.full", "full") : 0;

        Assert.Equal("store.full", (await harness.FailureAsync(new TakeCheckpoint(EndAfterwards: true))).Code);

        harness.AssertEverythingLetGo();
        Assert.True(SpinWait.SpinUntil(() => harness.Store.Forgotten.SequenceEqual(["s1"]), Harness.Patience));
    }

    [Fact]
    public async Task Called_off_in_a_round_nothing_ends_and_nothing_is_left()
    {
        FakeBridge bridge = new(1);
        await using Harness harness = await new Harness(bridge, preCopyRounds: 3).StartedAsync();
        harness.OnPhase = phase =>
        {
            if (phase == CheckpointPhase.Capture)
            {
                harness.Supervisor.Tell(new CancelCheckpoint(), Akka.Actor.ActorRefs.NoSender);
            }
        };

        Assert.Equal(OperationFailure.CancelledCode, (await harness.FailureAsync(new TakeCheckpoint(EndAfterwards: true))).Code);

        harness.AssertEverythingLetGo();
        harness.OnPhase = _ => { };
        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());
    }
}
