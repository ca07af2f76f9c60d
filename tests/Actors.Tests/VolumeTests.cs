using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors.Tests;

/// <summary>When the volumes of an application are copied and put back.</summary>
public sealed class VolumeTests
{
    [Theory]
    [InlineData(CaptureMode.CopyInsideFreeze)]
    [InlineData(CaptureMode.FrozenCopy)]
    public async Task They_are_copied_while_all_run_and_captured_while_all_stand(CaptureMode mode)
    {
        FakeBridge bridge = new(1, 2, 3);
        await using Harness harness = await new Harness(bridge, mode).StartedAsync();
        List<string> seen = [];
        harness.Store.Volumes = (call, _) => seen.Add($"{call}: {bridge.Processes.Count(p => p.Stands)} stand");

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(3, taken.Processes);
        Assert.Equal(["CopyFirst: 0 stand", "CaptureChanges: 3 stand"], seen);
        Assert.Single(harness.Store.Committed);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Nobody_goes_on_before_they_are_captured()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        using ManualResetEventSlim pumped = new();
        bool early = false;
        bridge.Before = (call, _) => early |= call is "PumpPages" or "Resume" && !pumped.IsSet;
        harness.Store.Volumes = (call, _) =>
        {
            if (call == "CaptureChanges")
            {
                // The state of both processes is there by then: only the volumes are waited for.
                Assert.True(SpinWait.SpinUntil(() => bridge.Calls.Count(c => c.Contains("CaptureState", StringComparison.Ordinal)) == 2, Harness.Patience));
                pumped.Set();
            }
        };

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.False(early);
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData("CopyFirst", "Volumes")]
    [InlineData("CaptureChanges", "Capture")]
    public async Task What_cannot_be_read_of_them_ends_the_checkpoint_and_the_application_goes_on(string call, string phase)
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        harness.Store.Volumes = (c, _) =>
        {
            if (c == call)
            {
                throw new SnapshotStoreException("path.io", "cannot read it");
            }
        };

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal((phase, "path.io"), (failure.Phase, failure.Code));
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Theory]
    [InlineData("CopyFirst", CheckpointPhase.Volumes)]
    [InlineData("CaptureChanges", CheckpointPhase.Capture)]
    public async Task A_copy_that_is_called_off_ends_before_the_snapshot_is_dropped(string call, CheckpointPhase phase)
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        bool after = false;
        harness.Store.Volumes = (c, cancellation) =>
        {
            if (c == call)
            {
                harness.Supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender);
                Assert.True(cancellation.WaitHandle.WaitOne(Harness.Patience));
                after = harness.Store.Dropped > 0;
                cancellation.ThrowIfCancellationRequested();
            }
        };

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal((phase.ToString(), OperationFailure.CancelledCode), (failure.Phase, failure.Code));
        Assert.False(after);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task A_restore_puts_them_back_after_its_checks_and_before_anything_is_built()
    {
        await using Harness harness = new(new FakeBridge());
        List<string> before = [];

        await harness.AskAsync<ApplicationStarted>(Restore(_ => before.AddRange(harness.Bridge.Restore!.Steps)));

        Assert.Equal(["Check"], before);
        Assert.Equal("Run", harness.Bridge.Restore!.Steps[^1]);
    }

    [Fact]
    public async Task A_restore_that_is_refused_leaves_them_alone()
    {
        FakeBridge bridge = new() { RestoreRefusals = [new Refusal("pid.taken", 7, null, "pid 7", "held by sshd", "end it")] };
        await using Harness harness = new(bridge);
        bool put = false;

        await harness.AskAsync<StartFailed>(Restore(_ => put = true));

        Assert.False(put);
    }

    [Fact]
    public async Task A_restore_that_cannot_put_them_back_builds_nothing()
    {
        await using Harness harness = new(new FakeBridge());

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Restore(_ => throw new SnapshotStoreException("path.io", "cannot write it")))).Failure;

        Assert.Equal((nameof(RestoreStep.Volumes), "path.io"), (failure.Phase, failure.Code));
        Assert.Equal(["Check"], harness.Bridge.Restore!.Steps);
        Assert.True(harness.Bridge.Restore.Removed);
    }

    private static RestoreApplication Restore(Action<CancellationToken> putBack) => new(new RestoreRequest
    {
        Name = "app", Image = Array.Empty<byte>(), Pages = new FakePages(), StateDirectory = "/nowhere",
    })
    {
        PutVolumesBack = putBack,
    };
}
