using Akka.Actor;
using Akka.Dispatch;
using Akka.Persistence;
using Akka.TestKit.Xunit2;
using Holdfast.ActorEngine.Tests.Persistence;
using Microsoft.Data.Sqlite;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

/// <summary>What can only be tested from inside of the engine.</summary>
[Collection("databases")]
public sealed class InsideSpec(PostgresCluster cluster) : TestKit(Patience.Config)
{
    private sealed class Any : UntypedActor
    {
        protected override void OnReceive(object message)
        {
        }
    }

    [Fact]
    public void Actors_cannot_be_made_by_new() => Assert.Throws<ActorInitializationException>(() =>
    {
        var outer = Akka.Actor.ActorCell.Current;
        Akka.Actor.ActorCell.Current = null;
        try
        {
            return new Any();
        }
        finally
        {
            Akka.Actor.ActorCell.Current = outer;
        }
    });

    /// <summary>A deadline hours away that was met would otherwise hold on to all that its actor knows.</summary>
    [Fact]
    public void A_timer_that_was_cancelled_lets_go_of_what_it_would_have_told()
    {
        using var cancelable = new Cancelable(Sys.Scheduler);
        var told = Scheduled(cancelable);
        GC.Collect();
        Assert.True(told.IsAlive);
        cancelable.Cancel();
        AwaitAssert(() =>
        {
            GC.Collect();
            Assert.False(told.IsAlive);
        });

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        WeakReference Scheduled(ICancelable by)
        {
            var message = new object();
            Sys.Scheduler.ScheduleTellOnce(TimeSpan.FromHours(10), TestActor, message, TestActor, by);
            return new WeakReference(message);
        }
    }

    private sealed class Echo : UntypedActor
    {
        protected override void OnReceive(object message) => Sender.Tell(message);
    }

    [Fact]
    public void All_that_waits_in_the_slot_of_a_thread_that_is_held_up_is_run_elsewhere()
    {
        var first = Sys.ActorOf(Props.Create<Echo>());
        var second = Sys.ActorOf(Props.Create<Echo>());
        first.Tell("ready", TestActor);
        second.Tell("ready", TestActor);
        ExpectMsg("ready");
        ExpectMsg("ready");
        using var done = new ManualResetEventSlim();
        var full = false;
        var thread = new Thread(() =>
        {
            var slot = WorkerSlot.ForThisThread();
            slot.IsOpen = true;
            second.Tell("second", TestActor);
            var behind = slot.Take();
            first.Tell("first", TestActor);
            full = behind is not null && slot.PutBehind(behind) is null;
            done.Wait();
            slot.IsOpen = false;
        });
        thread.Start();

        ExpectMsgAllOf(TimeSpan.FromSeconds(20), "first", "second");
        done.Set();
        thread.Join();
        Assert.True(full, "an actor was not idle, and nothing was shown");
    }

    [Fact]
    public void The_slot_gives_back_in_the_order_of_waiting()
    {
        var mailboxes = Enumerable.Range(0, 4).Select(_ => ((LocalActorRef)Sys.ActorOf(Props.Create<Echo>())).Cell.Mailbox).ToArray();
        Mailbox?[] expected = [null, null, mailboxes[0], null, mailboxes[1], mailboxes[2], mailboxes[0], mailboxes[3], null];
        Mailbox?[] seen = [];

        // Again if the guard took something meanwhile, because this thread was not run for a while.
        for (var attempt = 0; attempt < 50 && !seen.SequenceEqual(expected); attempt++)
        {
            var thread = new Thread(() =>
            {
                var slot = WorkerSlot.ForThisThread();
                seen =
                [
                    slot.PutBehind(mailboxes[0]), slot.PutBehind(mailboxes[1]), slot.Take(), slot.PutBehind(mailboxes[0]),
                    slot.Put(mailboxes[2]), slot.PutBehind(mailboxes[3]), slot.Take(), slot.Take(), slot.Take(),
                ];
            });
            thread.Start();
            thread.Join();
        }

        Assert.Equal(expected, seen);
    }

    [Fact]
    public async Task A_schema_of_a_later_version_is_refused()
    {
        using var backend = new Backend("sqlite", cluster);
        await using (var store = new SqlStore(SqlDialect.For(backend.Provider, backend.ConnectionString)))
        {
            await store.InitializeAsync();
            await store.InitializeAsync();
        }

        await using (var connection = new SqliteConnection(backend.ConnectionString))
        {
            await connection.OpenAsync();
            await using var command = connection.CreateCommand();
            command.CommandText = "INSERT INTO schema_version VALUES (99, 'later')";
            await command.ExecuteNonQueryAsync();
        }

        await using var late = new SqlStore(SqlDialect.For(backend.Provider, backend.ConnectionString));
        Assert.Contains("version 99", (await Assert.ThrowsAsync<InvalidOperationException>(late.InitializeAsync)).Message);
    }
}
