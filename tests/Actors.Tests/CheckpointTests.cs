using System.Collections.Concurrent;
using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

public sealed class CheckpointTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(200);

    [Fact]
    public async Task A_checkpoint_stores_every_process_and_lets_each_go_once()
    {
        await using Harness harness = await new Harness(new FakeBridge(1, 2, 3)).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        harness.AssertEverythingLetGo();
        Assert.All(harness.Bridge.Processes, p => Assert.Equal(1, p.Resumes));
        Assert.Equal((3, 6), (taken.Processes, taken.Threads));
        Assert.Equal(TimeSpan.FromMilliseconds(5), taken.FreezeTime);
        Assert.Equal(["mem/1", "mem/2", "mem/3", "shared/1"], harness.Store.Bytes.Keys.Order());
        Assert.Equal(3 * 4 * 4096 + 16, taken.Pages.BytesWritten);
        SnapshotFacts facts = Assert.Single(harness.Store.Committed);
        Assert.Equal(taken.Pages, facts.Pages);
    }

    [Fact]
    public async Task Copying_inside_the_freeze_pumps_before_the_first_process_is_let_go()
    {
        await using Harness harness = await new Harness(new FakeBridge(1, 2)).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        List<string> calls = [.. harness.Bridge.Calls];
        Assert.True(calls.FindLastIndex(c => c.StartsWith("Pump")) < calls.FindIndex(c => c.StartsWith("Resume")));
    }

    [Fact]
    public async Task Processors_are_kept_awake_from_the_first_stop_to_the_last_resume()
    {
        ConcurrentBag<(string Call, int Awake)> seen = [];
        await using Harness harness = await new Harness(new FakeBridge(1, 2), CaptureMode.FrozenCopy).StartedAsync();
        harness.Bridge.Before = (call, _) => seen.Add((call, harness.Bridge.Awake));

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.All(seen.Where(s => s.Call is "Freeze" or "Stop" or "Locate" or "CaptureState" or "KeepMemory" or "Resume"), s => Assert.Equal(1, s.Awake));
        Assert.Contains(seen, s => s.Call == "Resume");
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Processors_may_halt_again_when_something_takes_long()
    {
        await using Harness harness = await new Harness(new FakeBridge(1)).StartedAsync();
        int stood = 0;
        harness.Bridge.Before = (call, _) =>
        {
            if (call is "Prepare" or "CaptureState")
            {
                // Nobody waits for it to end by itself: it must have, or the checkpoint is stuck until its deadline.
                stood += harness.Bridge.Awake;
                Assert.True(SpinWait.SpinUntil(() => harness.Bridge.Awake == 0, Harness.Patience), call);
            }
        };

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(2, stood);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task A_frozen_copy_is_pumped_after_the_release_but_shared_memory_before_it()
    {
        await using Harness harness = await new Harness(new FakeBridge(1, 2), CaptureMode.FrozenCopy).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        List<string> calls = [.. harness.Bridge.Calls];
        Assert.True(calls.IndexOf("PumpShared") < calls.FindIndex(c => c.StartsWith("Resume")));
        Assert.True(calls.FindIndex(c => c.StartsWith("PumpPages")) > calls.FindLastIndex(c => c.StartsWith("Resume")));
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task A_process_whose_memory_cannot_be_kept_is_pumped_before_it_goes_on_and_only_once()
    {
        await using Harness harness = await new Harness(new FakeBridge(1, 2, 3) { CannotKeep = pid => pid == 2 }, CaptureMode.FrozenCopy).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        List<string> calls = [.. harness.Bridge.Calls];
        Assert.True(calls.IndexOf("PumpPages 2") < calls.IndexOf("Resume 2"));
        Assert.True(calls.IndexOf("PumpPages 1") > calls.IndexOf("Resume 1"));
        Assert.Equal(3, calls.Count(c => c.StartsWith("PumpPages", StringComparison.Ordinal)));
        Assert.Equal(3 * 4 * 4096 + 16, taken.Pages.BytesWritten);
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData(CaptureMode.CopyInsideFreeze)]
    [InlineData(CaptureMode.FrozenCopy)]
    public async Task Of_many_processes_that_stand_no_more_are_looked_at_at_once_than_processors_can_be_kept_busy_with(CaptureMode mode)
    {
        int many = 12 * Environment.ProcessorCount;
        FakeBridge bridge = new([.. Enumerable.Range(1, many)]);
        Lock gate = new();
        (int now, int most) = (0, 0);
        bridge.Before = (call, _) =>
        {
            if (call is "Locate" or "CaptureState" or "KeepMemory")
            {
                lock (gate)
                {
                    most = Math.Max(most, ++now);
                }

                // What a look takes: too many would be seen together.
                Thread.Sleep(5);
                lock (gate)
                {
                    now--;
                }
            }
        };
        await using Harness harness = await new Harness(bridge, mode).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(many, taken.Processes);
        Assert.InRange(most, Environment.ProcessorCount, 4 * Environment.ProcessorCount);
        foreach (string call in (string[])["Stop", "Locate", "CaptureState", "PumpPages", "Resume"])
        {
            Assert.Equal(many, bridge.Calls.Count(c => c.StartsWith(call + " ", StringComparison.Ordinal)));
        }

        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task A_process_that_appears_while_others_are_stopped_is_caught_too()
    {
        FakeBridge bridge = new(1);
        int forks = 0;
        bridge.Before = (call, _) =>
        {
            if (call == "Stop" && forks < 5)
            {
                bridge.Add(10 + forks++);
            }
        };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(6, taken.Processes);
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData("Prepare")]
    [InlineData("Stop")]
    public async Task A_process_that_exits_before_it_is_caught_is_no_part_of_the_snapshot(string call)
    {
        FakeBridge bridge = new(1, 2);
        bridge.Before = (c, pid) => bridge.Process(2).Exited |= c == call && pid == 2;
        await using Harness harness = await new Harness(bridge).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(1, taken.Processes);
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData("Locate", CheckpointPhase.Locate)]
    [InlineData("CaptureState", CheckpointPhase.Capture)]
    [InlineData("PumpPages", CheckpointPhase.Drain)]
    public async Task A_process_that_ends_after_it_was_caught_ends_the_checkpoint_and_is_named(string call, CheckpointPhase phase)
    {
        FakeBridge bridge = new(1, 2);
        bridge.Before = (c, pid) => bridge.Process(2).Exited |= c == call && pid == 2;
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal((phase.ToString(), "process.gone"), (failure.Phase, failure.Code));
        Assert.Contains("process 2", failure.Message);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task What_is_refused_while_everything_runs_is_refused_before_anything_is_stopped()
    {
        FakeBridge bridge = new(1, 2) { RefusesInPrepare = pid => pid == 2 ? [ARefusal(pid)] : [] };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(("Prepare", "fd.busy"), (failure.Phase, failure.Code));
        Assert.Equal(2, Assert.Single(failure.Refusals).Pid);
        Assert.All(bridge.Processes, p => Assert.Equal(0, p.Stops));
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task What_is_seen_only_once_of_a_process_that_runs_is_no_refusal()
    {
        int asked = 0;
        FakeBridge bridge = new(1) { RefusesInPrepare = pid => asked++ == 0 ? [ARefusal(pid)] : [] };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task A_process_that_cannot_be_read_once_while_it_runs_is_looked_at_again()
    {
        int asked = 0;
        FakeBridge bridge = new(1) { RefusesInPrepare = _ => asked++ == 0 ? throw new BridgeException("file.unreadable", "reading", "gone") : [] };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task Everything_that_is_refused_of_what_stands_is_reported_at_once()
    {
        FakeBridge bridge = new(1, 2, 3) { RefusesInLocate = pid => pid == 1 ? [] : [ARefusal(pid)] };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal("Locate", failure.Phase);
        Assert.Equal([2, 3], failure.Refusals.Select(r => r.Pid));
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task An_application_of_which_nothing_is_left_is_reported_as_gone()
    {
        FakeBridge bridge = new(1);
        bridge.Before = (c, pid) => bridge.Process(1).Exited |= c == "Stop";
        await using Harness harness = await new Harness(bridge).StartedAsync();

        Assert.Equal("application.gone", (await harness.FailureAsync()).Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Theory]
    [InlineData("Stop")]
    [InlineData("Freeze")]
    public async Task What_was_caught_in_a_moment_in_which_it_cannot_stop_is_let_go_and_stopped_again(string call)
    {
        FakeBridge bridge = new(1, 2, 3);
        int failures = 0;
        bridge.Before = (c, pid) => _ = c == call && pid is 0 or 2 && c == call && failures++ < 2 ? throw Vforking() : 0;
        await using Harness harness = await new Harness(bridge).StartedAsync();

        CheckpointTaken taken = await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.Equal(3, taken.Processes);
        Assert.True(failures > 2);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task What_never_stops_is_an_error_after_some_attempts()
    {
        FakeBridge bridge = new(1, 2, 3);
        int failures = 0;
        bridge.Before = (c, pid) =>
        {
            if (c == "Stop" && pid == 2)
            {
                failures++;
                throw Vforking();
            }
        };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(("Quiesce", "freeze.timeout", 4), (failure.Phase, failure.Code, failures));
        Assert.True(failure.TimedOut);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task A_process_that_does_not_stop_in_time_is_named_and_all_others_go_on()
    {
        using ManualResetEventSlim stuck = new();
        FakeBridge bridge = new(1, 2, 3);
        bridge.Before = (c, pid) =>
        {
            if (c == "Stop" && pid == 2)
            {
                stuck.Wait();
            }
        };
        await using Harness harness = await new Harness(
            bridge, deadlines: new() { [CheckpointPhase.Quiesce] = Soon, [CheckpointPhase.Release] = Soon }).StartedAsync();
        try
        {
            OperationFailure failure = await harness.FailureAsync();

            Assert.True(failure.TimedOut);
            Assert.Equal("Quiesce", failure.Phase);
            Assert.Contains("process 2", failure.Message);
            Assert.All(bridge.Processes.Where(p => p.Pid != 2), p => Assert.False(p.Stands));
            Assert.Empty(harness.Store.Committed);
        }
        finally
        {
            stuck.Set();
        }

        // The thread that hung lets its process go as soon as the kernel lets it go; the next checkpoint waits for that.
        bridge.Before = (_, _) => { };
        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());
        harness.AssertEverythingLetGo();
    }

    [Theory]
    [InlineData("FindProcesses", CheckpointPhase.Prepare)]
    [InlineData("Freeze", CheckpointPhase.Quiesce)]
    [InlineData("Locate", CheckpointPhase.Locate)]
    [InlineData("CaptureState", CheckpointPhase.Capture)]
    [InlineData("PumpPages", CheckpointPhase.Drain)]
    [InlineData("Resume", CheckpointPhase.Release)]
    public async Task Every_phase_has_its_deadline(string call, CheckpointPhase phase)
    {
        using ManualResetEventSlim stuck = new();
        FakeBridge bridge = new(1, 2);
        bridge.Before = (c, pid) =>
        {
            if (c == call && pid is 0 or 1)
            {
                stuck.Wait();
            }
        };
        Dictionary<CheckpointPhase, TimeSpan> deadlines = new() { [phase] = Soon };
        await using Harness harness = await new Harness(bridge, deadlines: deadlines).StartedAsync();

        // What hangs is let go once the time-out has begun to undo everything.
        harness.OnPhase = p => LetGo(stuck, p);

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal((phase.ToString(), OperationFailure.TimeoutCode), (failure.Phase, failure.Code));
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task A_limit_on_the_whole_checkpoint_is_kept()
    {
        using ManualResetEventSlim stuck = new();
        FakeBridge bridge = new(1);
        bridge.Before = (c, _) =>
        {
            if (c == "PumpPages")
            {
                stuck.Wait();
            }
        };
        await using Harness harness = await new Harness(bridge).StartedAsync();
        harness.OnPhase = p => LetGo(stuck, p);

        OperationFailure failure = await harness.FailureAsync(new TakeCheckpoint(Timeout: Soon));

        Assert.Equal(OperationFailure.TimeoutCode, failure.Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task No_more_processes_pump_at_once_than_allowed()
    {
        await using Harness harness = await new Harness(new FakeBridge([.. Enumerable.Range(1, 12)]), pumps: 3).StartedAsync();

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint());

        Assert.InRange(harness.Bridge.MostPumpsAtOnce, 1, 3);
    }

    [Fact]
    public async Task Two_requests_at_once_give_two_checkpoints_one_after_the_other()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();

        object[] answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => harness.Ask(new TakeCheckpoint())));

        Assert.All(answers, a => Assert.IsType<CheckpointTaken>(a));
        Assert.Equal(4, harness.Store.Committed.Count);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task A_checkpoint_that_is_called_off_leaves_nothing()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        using ManualResetEventSlim cancelled = new();
        harness.OnPhase = p => LetGo(cancelled, p);
        bridge.Before = (c, pid) =>
        {
            if (c == "PumpPages" && pid == 1)
            {
                harness.Supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender);
                cancelled.Wait();
            }
        };

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(OperationFailure.CancelledCode, failure.Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task An_application_that_ends_with_its_checkpoint_is_committed_first_and_never_runs_again()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        int committedWhenKilled = -1;
        bridge.Before = (c, _) => committedWhenKilled = c == "Kill" ? harness.Store.Committed.Count : committedWhenKilled;

        await harness.AskAsync<CheckpointTaken>(new TakeCheckpoint(EndAfterwards: true));

        Assert.Equal(1, committedWhenKilled);
        Assert.DoesNotContain(bridge.Calls, c => c.StartsWith("Resume"));
        Assert.All(bridge.Processes, p => Assert.True(p.Killed));
        Assert.Equal(1, bridge.Application.Kills);
        harness.AssertEverythingLetGo();
    }

    [Fact]
    public async Task An_application_that_was_to_end_goes_on_when_the_commit_fails()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        harness.Store.Before = c => _ = c == "Commit" ? throw new IOException("disk full") : 0;

        OperationFailure failure = await harness.FailureAsync(new TakeCheckpoint(EndAfterwards: true));

        Assert.Equal("Commit", failure.Phase);
        Assert.All(bridge.Processes, p => Assert.False(p.Killed));
        Assert.Equal(0, bridge.Application.Kills);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task The_end_of_the_actor_system_lets_the_application_go()
    {
        FakeBridge bridge = new(1, 2);
        await using Harness harness = await new Harness(bridge).StartedAsync();
        TaskCompletionSource pumping = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using ManualResetEventSlim hold = new();
        bridge.Before = (c, _) =>
        {
            if (c == "PumpPages")
            {
                pumping.TrySetResult();
                hold.Wait();
            }
        };
        harness.Supervisor.Tell(new TakeCheckpoint(), ActorRefs.NoSender);
        await pumping.Task.WaitAsync(Harness.Patience);

        Task terminated = harness.TerminateAsync();
        hold.Set();
        await terminated;

        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    private static void LetGo(ManualResetEventSlim stuck, CheckpointPhase phase)
    {
        if (phase == CheckpointPhase.Finish)
        {
            stuck.Set();
        }
    }

    private static BridgeException Vforking() => new("freeze.timeout", "stopping process 2", "it waits for a child of vfork");

    private static Refusal ARefusal(int pid) => new("fd.busy", pid, 3, "something", "it is busy", "close it");
}
