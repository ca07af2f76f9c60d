using System.Data;
using System.Data.Common;
using Microsoft.Data.Sqlite;
using Npgsql;
using NpgsqlTypes;

namespace Akka.Persistence;

/// <summary>What differs between the databases.</summary>
internal abstract class SqlDialect
{
    /// <summary>The steps from nothing to the schema of today; step n brings version n. A step that was released is never changed.</summary>
    public abstract IReadOnlyList<string> Migrations { get; }

    public abstract DbConnection CreateConnection();

    /// <summary>Makes a fresh connection ready.</summary>
    public virtual Task PrepareAsync(DbConnection connection) => Task.CompletedTask;

    /// <summary>Keeps other processes from migrating until the transaction ends.</summary>
    public abstract string LockSchema { get; }

    public abstract Task InsertAsync(DbConnection connection, DbTransaction transaction, IReadOnlyList<EventRow> events);

    public static SqlDialect For(string provider, string connectionString) =>
        provider.StartsWith("SQLite", StringComparison.OrdinalIgnoreCase) ? new SqliteDialect(connectionString)
        : provider.StartsWith("PostgreSQL", StringComparison.OrdinalIgnoreCase) ? new PostgresDialect(connectionString)
        : throw new Configuration.ConfigurationException($"provider-name '{provider}' is not known: SQLite.MS or PostgreSQL");
}

internal sealed class SqliteDialect(string connectionString) : SqlDialect
{
    public override IReadOnlyList<string> Migrations { get; } =
    [
        """
        CREATE TABLE journal (
            ordering INTEGER PRIMARY KEY AUTOINCREMENT,
            persistence_id TEXT NOT NULL,
            sequence_nr INTEGER NOT NULL,
            writer TEXT NOT NULL,
            created INTEGER NOT NULL,
            serializer_id INTEGER NOT NULL,
            manifest TEXT NOT NULL,
            payload BLOB NOT NULL,
            UNIQUE (persistence_id, sequence_nr));
        CREATE TABLE journal_deleted (
            persistence_id TEXT PRIMARY KEY,
            sequence_nr INTEGER NOT NULL);
        CREATE TABLE snapshot (
            persistence_id TEXT NOT NULL,
            sequence_nr INTEGER NOT NULL,
            created INTEGER NOT NULL,
            serializer_id INTEGER NOT NULL,
            manifest TEXT NOT NULL,
            payload BLOB NOT NULL,
            PRIMARY KEY (persistence_id, sequence_nr));
        """,
    ];

    public override string LockSchema => "";

    public override DbConnection CreateConnection() => new SqliteConnection(connectionString);

    public override async Task PrepareAsync(DbConnection connection)
    {
        // A write-ahead log lets readers go on beside the writer; FULL makes a commit survive the loss of power.
        await using var command = connection.CreateCommand();
        command.CommandText = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000;";
        await command.ExecuteNonQueryAsync().ConfigureAwait(false);
    }

    public override async Task InsertAsync(DbConnection connection, DbTransaction transaction, IReadOnlyList<EventRow> events)
    {
        await using var command = (SqliteCommand)connection.CreateCommand();
        command.Transaction = (SqliteTransaction)transaction;
        command.CommandText =
            "INSERT INTO journal (persistence_id, sequence_nr, writer, created, serializer_id, manifest, payload) VALUES ($id, $nr, $writer, $created, $serializer, $manifest, $payload)";
        var id = command.Parameters.Add("$id", SqliteType.Text);
        var number = command.Parameters.Add("$nr", SqliteType.Integer);
        var writer = command.Parameters.Add("$writer", SqliteType.Text);
        var created = command.Parameters.Add("$created", SqliteType.Integer);
        var serializer = command.Parameters.Add("$serializer", SqliteType.Integer);
        var manifest = command.Parameters.Add("$manifest", SqliteType.Text);
        var payload = command.Parameters.Add("$payload", SqliteType.Blob);
        command.Prepare();
        foreach (var row in events)
        {
            id.Value = row.PersistenceId;
            number.Value = row.SequenceNr;
            writer.Value = row.Writer;
            created.Value = row.Timestamp;
            serializer.Value = row.SerializerId;
            manifest.Value = row.Manifest;
            payload.Value = row.Payload;
            command.ExecuteNonQuery();
        }
    }
}

internal sealed class PostgresDialect(string connectionString) : SqlDialect
{
    public override IReadOnlyList<string> Migrations { get; } =
    [
        """
        CREATE TABLE journal (
            ordering BIGINT GENERATED ALWAYS AS IDENTITY,
            persistence_id TEXT NOT NULL,
            sequence_nr BIGINT NOT NULL,
            writer TEXT NOT NULL,
            created BIGINT NOT NULL,
            serializer_id INTEGER NOT NULL,
            manifest TEXT NOT NULL,
            payload BYTEA NOT NULL,
            PRIMARY KEY (persistence_id, sequence_nr));
        CREATE TABLE journal_deleted (
            persistence_id TEXT PRIMARY KEY,
            sequence_nr BIGINT NOT NULL);
        CREATE TABLE snapshot (
            persistence_id TEXT NOT NULL,
            sequence_nr BIGINT NOT NULL,
            created BIGINT NOT NULL,
            serializer_id INTEGER NOT NULL,
            manifest TEXT NOT NULL,
            payload BYTEA NOT NULL,
            PRIMARY KEY (persistence_id, sequence_nr));
        """,
    ];

    public override string LockSchema => "SELECT pg_advisory_xact_lock(7238945712001);";

    public override DbConnection CreateConnection() => new NpgsqlConnection(connectionString);

    public override async Task InsertAsync(DbConnection connection, DbTransaction transaction, IReadOnlyList<EventRow> events)
    {
        // One statement for the whole batch, whatever its size: the columns travel as arrays.
        await using var command = new NpgsqlCommand(
            """
            INSERT INTO journal (persistence_id, sequence_nr, writer, created, serializer_id, manifest, payload)
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
            """,
            (NpgsqlConnection)connection,
            (NpgsqlTransaction)transaction);
        Add(NpgsqlDbType.Text, events.Select(row => row.PersistenceId).ToArray());
        Add(NpgsqlDbType.Bigint, events.Select(row => row.SequenceNr).ToArray());
        Add(NpgsqlDbType.Text, events.Select(row => row.Writer).ToArray());
        Add(NpgsqlDbType.Bigint, events.Select(row => row.Timestamp).ToArray());
        Add(NpgsqlDbType.Integer, events.Select(row => row.SerializerId).ToArray());
        Add(NpgsqlDbType.Text, events.Select(row => row.Manifest).ToArray());
        Add(NpgsqlDbType.Bytea, events.Select(row => row.Payload).ToArray());
        await command.ExecuteNonQueryAsync().ConfigureAwait(false);

        void Add(NpgsqlDbType type, object values) => command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Array | type, Value = values });
    }
}
