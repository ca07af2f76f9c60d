using System.Collections.Concurrent;
using Akka.Actor;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

public sealed class RestoreTests
{
    private static readonly string[] StepsOfTheBridge =
        ["Check", "BuildProcesses", "BuildResources", "FillMemory", "BuildThreads", "Verify", "Run"];

    public static TheoryData<string> Steps => [.. StepsOfTheBridge];

    private static RestoreApplication Order => new(new RestoreRequest
    {
        Name = "app", Image = Array.Empty<byte>(), Pages = new FakePages(), StateDirectory = "/nowhere",
    });

    [Fact]
    public async Task A_restore_takes_every_step_in_order_on_one_thread()
    {
        FakeBridge bridge = new();
        ConcurrentBag<int> awake = [];
        bridge.Before = (call, _) => awake.Add(call == "Run" ? bridge.Awake : 1);
        await using Harness harness = new(bridge);

        ApplicationStarted started = await harness.AskAsync<ApplicationStarted>(Order);

        Assert.Equal(1, Assert.Single(awake.Distinct()));
        Assert.Equal(0, bridge.Awake);
        FakeRestore restore = harness.Bridge.Restore!;
        Assert.Equal(StepsOfTheBridge, restore.Steps);
        Assert.True(restore.OneThread);
        Assert.True(restore.Disposed);
        Assert.False(restore.Removed);
        Assert.Equal(8192, started.Restore!.BytesRead);
        Assert.True(started.Restore.ResumeTime <= started.Restore.TotalTime);
        Assert.Same(harness.Bridge.Application, harness.StartedApplication);
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_failure_in_any_step_removes_what_was_built_and_names_the_step(string step)
    {
        FakeBridge bridge = new();
        bridge.Before = (c, _) => _ = c == step ? throw new BridgeException("test.broken", "the test", "it says so") : 0;
        await using Harness harness = new(bridge);

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Order)).Failure;

        Assert.Equal(("test.broken", NameOf(step)), (failure.Code, failure.Phase));
        AssertRemoved(bridge);
    }

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_crash_in_any_step_removes_what_was_built(string step)
    {
        FakeBridge bridge = new();
        bridge.Before = (c, _) => _ = c == step ? throw new InvalidOperationException("a defect") : 0;
        await using Harness harness = new(bridge);

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Order)).Failure;

        Assert.Equal(OperationFailure.InternalCode, failure.Code);
        AssertRemoved(bridge);
    }

    [Fact]
    public async Task Refusals_are_reported_before_anything_is_built()
    {
        FakeBridge bridge = new() { RestoreRefusals = [new Refusal("pid.taken", 7, null, "pid 7", "held by sshd", "end it")] };
        await using Harness harness = new(bridge);

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Order)).Failure;

        Assert.Equal("pid.taken", failure.Code);
        Assert.Equal(["Check"], bridge.Restore!.Steps);
        AssertRemoved(bridge);
    }

    [Fact]
    public async Task A_step_that_hangs_is_given_up_and_what_it_built_is_removed_when_it_ends()
    {
        using ManualResetEventSlim stuck = new();
        FakeBridge bridge = new();
        bridge.Before = (c, _) =>
        {
            if (c == "FillMemory")
            {
                stuck.Wait();
            }
        };
        TimeSpan soon = TimeSpan.FromMilliseconds(200);
        await using Harness harness = new(bridge, restoreDeadlines: new() { [RestoreStep.Memory] = soon, [RestoreStep.Run] = soon });

        OperationFailure failure = (await harness.AskAsync<StartFailed>(Order)).Failure;
        stuck.Set();

        Assert.Equal((OperationFailure.TimeoutCode, "Memory"), (failure.Code, failure.Phase));
        await harness.TerminateAsync();
        AssertRemoved(bridge);
    }

    [Fact]
    public async Task A_restore_that_is_called_off_leaves_nothing()
    {
        FakeBridge bridge = new();
        await using Harness harness = new(bridge);
        bridge.Before = (c, _) =>
        {
            if (c == "BuildResources")
            {
                harness.Supervisor.Tell(new CancelStart(), ActorRefs.NoSender);
            }
        };

        object answer = await harness.Ask(Order);

        // It may have run to its end before the order to stop arrived; never anything in between.
        if (answer is StartFailed failed)
        {
            Assert.Equal(OperationFailure.CancelledCode, failed.Failure.Code);
            Assert.True(bridge.Restore!.Removed || bridge.Application.Kills == 1);
        }
        else
        {
            Assert.IsType<ApplicationStarted>(answer);
            Assert.True(bridge.Restore!.Runs);
        }
    }

    [Fact]
    public async Task A_restore_that_is_called_off_while_it_lets_the_application_run_answers_when_that_is_killed()
    {
        FakeBridge bridge = new();
        await using Harness harness = new(bridge);
        bridge.Before = (c, _) =>
        {
            if (c == "Run")
            {
                harness.Supervisor.Tell(new CancelStart(), ActorRefs.NoSender);
                // Long enough, nearly always, for the order to arrive while this step is under way.
                Thread.Sleep(100);
            }
        };
        bridge.Application.OnKill = () => Thread.Sleep(100);

        object answer = await harness.Ask(Order);

        Assert.Equal(answer is StartFailed ? 1 : 0, bridge.Application.Kills);
        Assert.Equal(answer is StartFailed, bridge.Application.Disposed);
    }

    private static void AssertRemoved(FakeBridge bridge)
    {
        Assert.True(bridge.Restore!.Removed);
        Assert.True(bridge.Restore.OneThread);
        Assert.False(bridge.Restore.Runs);
    }

    private static string NameOf(string step) => step.Replace("Build", "").Replace("Fill", "");
}
