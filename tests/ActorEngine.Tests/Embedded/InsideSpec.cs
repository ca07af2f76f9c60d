using Akka.Actor;
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
