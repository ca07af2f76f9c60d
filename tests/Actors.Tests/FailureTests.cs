using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.KernelBridge;
using Xunit.Abstractions;

namespace Holdfast.Actors.Tests;

/// <summary>Whatever fails, and wherever: the application goes on.</summary>
public sealed class FailureTests(ITestOutputHelper output)
{
    private static readonly string[] CallsOfTheApplication =
        ["BeginCheckpoint", "FindProcesses", "Freeze", "Thaw", "LocateShared", "Assemble", "PumpShared"];

    private static readonly string[] CallsOfAProcess = ["Open", "Prepare", "Stop", "Locate", "CaptureState", "KeepMemory", "PumpPages", "Resume"];

    private static readonly string[] CallsOfTheStore = ["Begin", "Write", "Commit"];

    public static TheoryData<string> Calls => [.. CallsOfTheApplication, .. CallsOfAProcess];

    private static CaptureMode ModeWith(string call) => call == "KeepMemory" ? CaptureMode.FrozenCopy : CaptureMode.CopyInsideFreeze;

    [Theory]
    [MemberData(nameof(Calls))]
    public async Task An_expected_failure_in_any_call_lets_everything_go_and_is_reported_with_its_cause(string call)
    {
        FakeBridge bridge = new(1, 2, 3);
        bridge.Before = (c, pid) => _ = c == call && (pid is 0 or 2) ? throw new BridgeException("test.broken", "the test", "it says so") : 0;
        await using Harness harness = await new Harness(bridge, ModeWith(call)).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal("test.broken", failure.Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Theory]
    [MemberData(nameof(Calls))]
    public async Task A_crash_in_any_call_lets_everything_go_and_is_reported_as_a_defect(string call)
    {
        FakeBridge bridge = new(1, 2, 3);
        bridge.Before = (c, pid) => _ = c == call && (pid is 0 or 2) ? throw new InvalidOperationException("a defect") : 0;
        await using Harness harness = await new Harness(bridge, ModeWith(call)).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(OperationFailure.InternalCode, failure.Code);
        Assert.Contains("a defect", failure.Message);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Theory]
    [InlineData("Begin")]
    [InlineData("Write")]
    [InlineData("Commit")]
    public async Task A_store_that_fails_lets_everything_go(string call)
    {
        await using Harness harness = await new Harness(new FakeBridge(1, 2)).StartedAsync();
        harness.Store.Before = c => _ = c == call ? throw new Snapshots.SnapshotStoreException("store.full", "no space is left") : 0;

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal("store.full", failure.Code);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task A_crash_of_the_coordinator_itself_lets_everything_go()
    {
        FakeBridge bridge = new(1, 2) { LocatesToNull = true };
        await using Harness harness = await new Harness(bridge).StartedAsync();

        OperationFailure failure = await harness.FailureAsync();

        Assert.Equal(OperationFailure.InternalCode, failure.Code);
        Assert.Contains(bridge.Processes, p => p.Stops > 0);
        harness.AssertEverythingLetGo();
        harness.AssertNoSnapshot();
    }

    [Fact]
    public async Task Whatever_fails_where_every_process_that_was_stopped_is_resumed_exactly_once_on_its_own_thread()
    {
        int seed = Environment.GetEnvironmentVariable("HOLDFAST_SEED") is { } given ? int.Parse(given) : Random.Shared.Next();
        int rounds = Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? 5000 : 300;
        output.WriteLine($"HOLDFAST_SEED={seed}, {rounds} rounds");
        Random random = new(seed);
        int succeeded = 0;
        for (int round = 0; round < rounds; round++)
        {
            Scenario scenario = Scenario.Random(random);
            try
            {
                succeeded += await PlayAsync(scenario) ? 1 : 0;
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"HOLDFAST_SEED={seed}, round {round}, {scenario}: {e.Message}", e);
            }
        }

        // A property that only ever saw one outcome has shown nothing.
        Assert.InRange(succeeded, 1, rounds - 1);
    }

    private static async Task<bool> PlayAsync(Scenario scenario)
    {
        FakeBridge bridge = new([.. Enumerable.Range(1, scenario.Processes)]);
        await using Harness harness = await new Harness(bridge, scenario.Mode, scenario.Pumps).StartedAsync();
        int seen = 0;
        int children = 0;
        bridge.Before = (call, pid) =>
        {
            if (scenario.Forks > children && call == "Stop")
            {
                bridge.Add(100 + Interlocked.Increment(ref children));
            }

            if (call == scenario.Call && Interlocked.Increment(ref seen) == scenario.Nth)
            {
                scenario.Strike(harness, pid);
            }
        };
        harness.Store.Before = call =>
        {
            if (call == scenario.Call && Interlocked.Increment(ref seen) == scenario.Nth)
            {
                scenario.Strike(harness, 0);
            }
        };

        object answer = await harness.Ask(new TakeCheckpoint(scenario.EndAfterwards));

        harness.AssertEverythingLetGo();
        if (answer is CheckpointTaken)
        {
            Assert.Single(harness.Store.Committed);
            Assert.Equal(0, harness.Store.Dropped);
            return true;
        }

        OperationFailure failure = Assert.IsType<CheckpointFailed>(answer).Failure;
        Assert.NotEmpty(failure.Phase);
        Assert.NotEmpty(failure.Message);
        if (failure.Phase is not (nameof(CheckpointPhase.End) or nameof(CheckpointPhase.Finish)))
        {
            harness.AssertNoSnapshot();
        }

        return false;
    }

    private enum Blow
    {
        Expected,
        Crash,
        Exit,
        Cancel,
        DiskFull,
        TooLate,
    }

    private sealed record Scenario(
        int Processes, int Forks, CaptureMode Mode, int Pumps, bool EndAfterwards, string Call, int Nth, Blow Blow)
    {
        public static Scenario Random(Random random)
        {
            string[] calls = [.. CallsOfTheApplication, .. CallsOfAProcess, .. CallsOfTheStore, "Kill"];
            return new Scenario(
                random.Next(1, 6), random.Next(0, 4), random.Next(2) == 0 ? CaptureMode.CopyInsideFreeze : CaptureMode.FrozenCopy,
                random.Next(1, 4), random.Next(4) == 0, calls[random.Next(calls.Length)], random.Next(1, 8), (Blow)random.Next(6));
        }

        public void Strike(Harness harness, int pid)
        {
            switch (Blow)
            {
                case Blow.Expected:
                    throw new BridgeException("test.broken", "the test", "it says so");
                case Blow.Crash:
                    throw new InvalidOperationException("a defect");
                case Blow.TooLate:
                    throw new BridgeException("freeze.timeout", "the test", "it stood too late");
                case Blow.DiskFull:
                    throw new IOException("no space left on device");
                case Blow.Cancel:
                    harness.Supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender);
                    break;
                case Blow.Exit when pid != 0:
                    harness.Bridge.Process(pid).Exited = true;
                    break;
            }
        }
    }
}
