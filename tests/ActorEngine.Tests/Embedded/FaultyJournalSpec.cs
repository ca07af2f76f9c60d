using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Configuration;
using Akka.Persistence;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>A journal that does as the test says.</summary>
internal sealed class FaultyStore : IEventStore
{
    public static readonly ConcurrentDictionary<string, FaultyStore> ByName = new();

    private readonly MemoryStore _inner = new();

    public FaultyStore(Config config) => ByName[config.GetString("name")] = this;

    public volatile Exception? Failure;

    public volatile TaskCompletionSource? Gate;

    public int LargestWrite;

    public int Writes;

    public Task InitializeAsync() => Failure is { } failure ? Task.FromException(failure) : Task.CompletedTask;

    public async Task WriteAsync(IReadOnlyList<EventRow> events)
    {
        if (Gate is { } gate)
        {
            await gate.Task;
        }

        if (Failure is { } failure)
        {
            throw failure;
        }

        LargestWrite = Math.Max(LargestWrite, events.Count);
        Writes++;
        await _inner.WriteAsync(events);
    }

    public Task<long> ReadHighestSequenceNrAsync(string persistenceId) =>
        Failure is { } failure ? Task.FromException<long>(failure) : _inner.ReadHighestSequenceNrAsync(persistenceId);

    public async Task<IReadOnlyList<EventRow>> ReadAsync(string persistenceId, long fromSequenceNr, long toSequenceNr, int limit)
    {
        if (Gate is { } gate)
        {
            await gate.Task;
        }

        return await _inner.ReadAsync(persistenceId, fromSequenceNr, toSequenceNr, limit);
    }

    public Task DeleteAsync(string persistenceId, long toSequenceNr) =>
        Failure is { } failure ? Task.FromException(failure) : _inner.DeleteAsync(persistenceId, toSequenceNr);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

public abstract class FaultyJournalTestKit : TestKit
{
    private static int _count;

    private readonly string _name;

    private protected FaultyJournalTestKit(string recoveryTimeout, string callTimeout)
        : this("faulty" + Interlocked.Increment(ref _count), recoveryTimeout, callTimeout)
    {
    }

    private FaultyJournalTestKit(string name, string recoveryTimeout, string callTimeout)
        : base(ConfigurationFactory.ParseString($$"""
            akka {
              loglevel = OFF
              stdout-loglevel = OFF
              test.single-expect-default = 20s
              persistence.journal.plugin = akka.persistence.journal.faulty
              persistence.journal.faulty {
                class = "Holdfast.ActorEngine.Tests.Persistence.FaultyStore, Holdfast.ActorEngine.Tests"
                name = {{name}}
                recovery-event-timeout = {{recoveryTimeout}}
                circuit-breaker { max-failures = 3, call-timeout = {{callTimeout}}, reset-timeout = 200ms }
              }
            }
            """)) => _name = name;

    private protected FaultyStore Store => FaultyStore.ByName[_name];

    private protected IActorRef Open(string id, int stash = Deploy.NoStashSize) => Sys.ActorOf(Props.Create(() => new Account(id, TestActor, null, false)).WithStashCapacity(stash));
}

public sealed class FaultyJournalSpec() : FaultyJournalTestKit("30s", "30s")
{
    [Fact]
    public void A_write_that_fails_calls_the_hook_and_stops_the_actor_and_a_new_one_finds_what_was_stored()
    {
        var actor = Open("a");
        ExpectMsg("recovered ");
        actor.Tell("1");
        ExpectMsg("stored 1");
        Store.Failure = new InvalidOperationException("disk full");
        Watch(actor);
        actor.Tell("2");
        actor.Tell("3");
        ExpectMsg("failure 2 2");
        ExpectMsg("stopped");
        ExpectTerminated(actor);
        Store.Failure = null;
        actor = Open("a");
        ExpectMsg("recovered 1");
        actor.Tell("4");
        ExpectMsg("stored 4");
    }

    [Fact]
    public void A_recovery_that_fails_calls_the_hook_and_stops_the_actor()
    {
        Open("first");
        ExpectMsg("recovered ");
        Store.Failure = new InvalidOperationException("down");
        var actor = Open("a");
        Watch(actor);
        ExpectMsg("recovery failure down ");
        ExpectMsg("stopped");
        ExpectTerminated(actor);
    }

    [Fact]
    public void While_a_slow_journal_writes_events_of_many_actors_gather_into_the_next_transaction()
    {
        var actors = Enumerable.Range(0, 50).Select(i => Open("a" + i)).ToArray();
        ReceiveN(50, TimeSpan.FromSeconds(10));
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Store.Gate = gate;
        foreach (var actor in actors)
        {
            actor.Tell("x");
        }

        // Every actor has handed its write over when it has answered what came after it in its mailbox, which it puts aside.
        foreach (var actor in actors)
        {
            actor.Tell(new Identify(1), TestActor);
        }

        ReceiveN(50, TimeSpan.FromSeconds(10));
        Store.Gate = null;
        gate.SetResult();
        ReceiveN(50, TimeSpan.FromSeconds(10));
        Assert.True(Store.Writes < 10, $"{Store.Writes} transactions for 50 events");
        Assert.True(Store.LargestWrite > 10, $"at most {Store.LargestWrite} events in one transaction");
    }

    [Fact]
    public void A_command_for_which_there_is_no_room_while_the_journal_writes_follows_the_strategy()
    {
        var actor = Open("a", stash: 2);
        ExpectMsg("recovered ");
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Store.Gate = gate;
        actor.Tell("1");
        actor.Tell("2");
        actor.Tell("3");
        actor.Tell("one too many");

        // The default strategy throws, so that the actor restarts; nothing that was handed over is lost.
        ExpectMsg("stopped");
        gate.SetResult();
        Store.Gate = null;
        Assert.StartsWith("recovered", ExpectMsg<string>());
        ExpectMsg("stored 2");
        ExpectMsg("stored 3");
        actor.Tell("get", TestActor);
        Assert.Equal("1,2,3", ExpectMsg<string>());
    }
}

/// <summary>The times are short here, so that what hangs is given up; the tests wait for that only.</summary>
public sealed class HangingJournalSpec() : FaultyJournalTestKit("3s", "1s")
{
    [Fact]
    public void A_recovery_that_hangs_times_out()
    {
        var writer = Open("a");
        ExpectMsg("recovered ");
        writer.Tell("1");
        ExpectMsg("stored 1");
        writer.Tell(PoisonPill.Instance);
        ExpectMsg("stopped");
        Store.Gate = new TaskCompletionSource();
        var actor = Open("a");
        Watch(actor);
        Assert.StartsWith("recovery failure Recovery timed out", ExpectMsg<string>());
        ExpectMsg("stopped");
        ExpectTerminated(actor);
        Store.Gate.SetResult();
    }

    [Fact]
    public void A_write_that_hangs_fails_after_the_call_timeout_and_the_breaker_opens_and_closes_again()
    {
        var actors = Enumerable.Range(0, 4).Select(i => Open("a" + i)).ToArray();
        ReceiveN(4, TimeSpan.FromSeconds(10));
        Store.Gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        for (var i = 0; i < 4; i++)
        {
            actors[i].Tell("x");
            ExpectMsg("failure x 1");
            ExpectMsg("stopped");
        }

        Store.Gate.SetResult();
        Store.Gate = null;
        AwaitAssert(() =>
        {
            var probe = CreateTestProbe();
            var id = "fresh" + Guid.NewGuid().ToString("N");
            var fresh = Sys.ActorOf(Props.Create(() => new Account(id, probe.Ref, null, false)));
            probe.ExpectMsg("recovered ");
            fresh.Tell("y");
            probe.ExpectMsg("stored y");
        }, TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void A_late_write_of_a_dead_instance_is_not_overwritten_by_its_successor()
    {
        var actor = Open("a");
        ExpectMsg("recovered ");
        Store.Gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        actor.Tell("late");
        ExpectMsg("failure late 1");
        ExpectMsg("stopped");
        var successor = Open("a");
        Store.Gate.SetResult();
        ExpectMsg("recovered late");
        Store.Gate = null;
        successor.Tell("next");
        ExpectMsg("stored next");
    }
}
