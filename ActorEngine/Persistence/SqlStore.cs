using System.Data.Common;
using System.Globalization;
using Akka.Configuration;

namespace Akka.Persistence;

/// <summary>Keeps events and snapshots in a database. One connection writes; readers take connections from the provider's pool.</summary>
internal sealed class SqlStore : IEventStore, ISnapshotStorage
{
    private const int Readers = 8;

    private readonly SqlDialect _dialect;
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly SemaphoreSlim _reading = new(Readers, Readers);
    private DbConnection? _writer;

    public SqlStore(SqlDialect dialect) => _dialect = dialect;

    public SqlStore(Config config)
        : this(SqlDialect.For(Required(config, "provider-name"), Required(config, "connection-string")))
    {
    }

    private static string Required(Config config, string key) =>
        config.GetString(key) is { Length: > 0 } value ? value : throw new ConfigurationException($"the SQL plug-in needs {key}");

    public async Task InitializeAsync()
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            await MigrateAsync(await WriterAsync().ConfigureAwait(false), _dialect).ConfigureAwait(false);
        }
        catch
        {
            await DropWriterAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Brings the schema to the version of this program; one transaction per step.</summary>
    /// <exception cref="InvalidOperationException">The schema is of a later program.</exception>
    internal static async Task MigrateAsync(DbConnection connection, SqlDialect dialect)
    {
        for (var version = -1; version < dialect.Migrations.Count;)
        {
            await using var transaction = await connection.BeginTransactionAsync().ConfigureAwait(false);
            await ExecuteAsync(connection, transaction, dialect.LockSchema + "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied TEXT NOT NULL)").ConfigureAwait(false);
            version = Convert.ToInt32(await ScalarAsync(connection, transaction, "SELECT COALESCE(MAX(version), 0) FROM schema_version").ConfigureAwait(false), CultureInfo.InvariantCulture);
            if (version > dialect.Migrations.Count)
            {
                throw new InvalidOperationException(
                    $"the database has schema version {version}, this program knows {dialect.Migrations.Count}: it belongs to a later version; use that one, or a backup from before");
            }

            if (version < dialect.Migrations.Count)
            {
                await ExecuteAsync(connection, transaction, dialect.Migrations[version]).ConfigureAwait(false);
                await ExecuteAsync(
                    connection,
                    transaction,
                    "INSERT INTO schema_version (version, applied) VALUES (@version, @applied)",
                    ("@version", version + 1),
                    ("@applied", DateTime.UtcNow.ToString("O", CultureInfo.InvariantCulture))).ConfigureAwait(false);
                version++;
            }

            await transaction.CommitAsync().ConfigureAwait(false);
        }
    }

    public Task WriteAsync(IReadOnlyList<EventRow> events) => WriteAsync((connection, transaction) => _dialect.InsertAsync(connection, transaction, events));

    public Task<long> ReadHighestSequenceNrAsync(string persistenceId) => ReadAsync(async connection =>
    {
        var highest = await ScalarAsync(
            connection,
            null,
            "SELECT COALESCE(MAX(nr), 0) FROM (SELECT MAX(sequence_nr) AS nr FROM journal WHERE persistence_id = @id UNION ALL SELECT sequence_nr AS nr FROM journal_deleted WHERE persistence_id = @id) AS both_tables",
            ("@id", persistenceId)).ConfigureAwait(false);
        return Convert.ToInt64(highest, CultureInfo.InvariantCulture);
    });

    public Task<IReadOnlyList<EventRow>> ReadAsync(string persistenceId, long fromSequenceNr, long toSequenceNr, int limit) => ReadAsync<IReadOnlyList<EventRow>>(async connection =>
    {
        await using var command = Command(
            connection,
            null,
            "SELECT sequence_nr, writer, created, serializer_id, manifest, payload FROM journal WHERE persistence_id = @id AND sequence_nr >= @from AND sequence_nr <= @to ORDER BY sequence_nr LIMIT @limit",
            ("@id", persistenceId),
            ("@from", fromSequenceNr),
            ("@to", toSequenceNr),
            ("@limit", limit));
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        var rows = new List<EventRow>();
        while (await reader.ReadAsync().ConfigureAwait(false))
        {
            rows.Add(new EventRow(
                persistenceId, reader.GetInt64(0), reader.GetString(1), reader.GetInt64(2), reader.GetInt32(3), reader.GetString(4), reader.GetFieldValue<byte[]>(5)));
        }

        return rows;
    });

    public Task DeleteAsync(string persistenceId, long toSequenceNr) => WriteAsync(async (connection, transaction) =>
    {
        await ExecuteAsync(
            connection,
            transaction,
            """
            INSERT INTO journal_deleted (persistence_id, sequence_nr)
            SELECT persistence_id, MAX(sequence_nr) FROM journal WHERE persistence_id = @id AND sequence_nr <= @to GROUP BY persistence_id
            ON CONFLICT (persistence_id) DO UPDATE SET sequence_nr = CASE WHEN excluded.sequence_nr > journal_deleted.sequence_nr THEN excluded.sequence_nr ELSE journal_deleted.sequence_nr END
            """,
            ("@id", persistenceId),
            ("@to", toSequenceNr)).ConfigureAwait(false);
        await ExecuteAsync(connection, transaction, "DELETE FROM journal WHERE persistence_id = @id AND sequence_nr <= @to", ("@id", persistenceId), ("@to", toSequenceNr)).ConfigureAwait(false);
    });

    public Task SaveAsync(SnapshotRow snapshot) => WriteAsync((connection, transaction) => ExecuteAsync(
        connection,
        transaction,
        """
        INSERT INTO snapshot (persistence_id, sequence_nr, created, serializer_id, manifest, payload) VALUES (@id, @nr, @created, @serializer, @manifest, @payload)
        ON CONFLICT (persistence_id, sequence_nr) DO UPDATE
        SET created = excluded.created, serializer_id = excluded.serializer_id, manifest = excluded.manifest, payload = excluded.payload
        """,
        ("@id", snapshot.PersistenceId),
        ("@nr", snapshot.SequenceNr),
        ("@created", snapshot.Timestamp.Ticks),
        ("@serializer", snapshot.SerializerId),
        ("@manifest", snapshot.Manifest),
        ("@payload", snapshot.Payload)));

    public Task<SnapshotRow?> LoadAsync(string persistenceId, SnapshotSelectionCriteria criteria, long toSequenceNr) => ReadAsync<SnapshotRow?>(async connection =>
    {
        await using var command = Command(
            connection,
            null,
            """
            SELECT sequence_nr, created, serializer_id, manifest, payload FROM snapshot
            WHERE persistence_id = @id AND sequence_nr >= @from AND sequence_nr <= @to AND created >= @after AND created <= @before
            ORDER BY sequence_nr DESC LIMIT 1
            """,
            [.. Range(persistenceId, criteria, toSequenceNr)]);
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        return await reader.ReadAsync().ConfigureAwait(false)
            ? new SnapshotRow(
                persistenceId, reader.GetInt64(0), new DateTime(reader.GetInt64(1), DateTimeKind.Utc), reader.GetInt32(2), reader.GetString(3), reader.GetFieldValue<byte[]>(4))
            : null;
    });

    public Task DeleteAsync(string persistenceId, SnapshotSelectionCriteria criteria) => WriteAsync((connection, transaction) => ExecuteAsync(
        connection,
        transaction,
        "DELETE FROM snapshot WHERE persistence_id = @id AND sequence_nr >= @from AND sequence_nr <= @to AND created >= @after AND created <= @before",
        [.. Range(persistenceId, criteria, long.MaxValue)]));

    public async ValueTask DisposeAsync() => await DropWriterAsync().ConfigureAwait(false);

    private static IEnumerable<(string, object)> Range(string persistenceId, SnapshotSelectionCriteria criteria, long toSequenceNr) =>
    [
        ("@id", persistenceId),
        ("@from", criteria.MinSequenceNr),
        ("@to", Math.Min(criteria.MaxSequenceNr, toSequenceNr)),
        ("@after", criteria.MinTimestamp!.Value.Ticks),
        ("@before", criteria.MaxTimeStamp.Ticks),
    ];

    private async Task WriteAsync(Func<DbConnection, DbTransaction, Task> work)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            var connection = await WriterAsync().ConfigureAwait(false);
            await using var transaction = await connection.BeginTransactionAsync().ConfigureAwait(false);
            await work(connection, transaction).ConfigureAwait(false);
            await transaction.CommitAsync().ConfigureAwait(false);
        }
        catch
        {
            // The state of a connection after a failure is not known; a new one is cheap.
            await DropWriterAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            _writing.Release();
        }
    }

    private async Task<T> ReadAsync<T>(Func<DbConnection, Task<T>> work)
    {
        await _reading.WaitAsync().ConfigureAwait(false);
        try
        {
            for (var attempt = 1; ; attempt++)
            {
                await using var connection = _dialect.CreateConnection();
                await connection.OpenAsync().ConfigureAwait(false);
                try
                {
                    await _dialect.PrepareAsync(connection).ConfigureAwait(false);
                    return await work(connection).ConfigureAwait(false);
                }
                catch (DbException) when (connection.State != global::System.Data.ConnectionState.Open && attempt <= Readers)
                {
                    // One from the pool that has not been alive since the server was restarted. The pool holds no more of them than there are readers.
                }
            }
        }
        finally
        {
            _reading.Release();
        }
    }

    private async Task<DbConnection> WriterAsync()
    {
        if (_writer is null)
        {
            var connection = _dialect.CreateConnection();
            try
            {
                await connection.OpenAsync().ConfigureAwait(false);
                await _dialect.PrepareAsync(connection).ConfigureAwait(false);
            }
            catch
            {
                await connection.DisposeAsync().ConfigureAwait(false);
                throw;
            }

            _writer = connection;
        }

        return _writer;
    }

    private async Task DropWriterAsync()
    {
        var connection = _writer;
        _writer = null;
        if (connection is not null)
        {
            try
            {
                await connection.DisposeAsync().ConfigureAwait(false);
            }
            catch (DbException)
            {
                // It is broken already.
            }
        }
    }

    private static DbCommand Command(DbConnection connection, DbTransaction? transaction, string text, params (string Name, object Value)[] parameters)
    {
        var command = connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = text;
        foreach (var (name, value) in parameters)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = name;
            parameter.Value = value;
            command.Parameters.Add(parameter);
        }

        return command;
    }

    private static async Task ExecuteAsync(DbConnection connection, DbTransaction? transaction, string text, params (string Name, object Value)[] parameters)
    {
        await using var command = Command(connection, transaction, text, parameters);
        await command.ExecuteNonQueryAsync().ConfigureAwait(false);
    }

    private static async Task<object?> ScalarAsync(DbConnection connection, DbTransaction? transaction, string text, params (string Name, object Value)[] parameters)
    {
        await using var command = Command(connection, transaction, text, parameters);
        return await command.ExecuteScalarAsync().ConfigureAwait(false);
    }
}
