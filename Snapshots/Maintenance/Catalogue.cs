using System.Globalization;
using System.Text;
using Microsoft.Data.Sqlite;

namespace Holdfast.Snapshots;

/// <summary>
/// The catalogue: which snapshots and packs there should be. Nothing is read through it; it shows when a file disappeared,
/// and it can be made again from the manifests and packs at any time. In an encrypted store it holds no names.
/// </summary>
internal sealed class Catalogue : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly StoreLayout _layout;

    /// <summary>Opens the catalogue, makes it when there is none, and takes over the logged events.</summary>
    /// <exception cref="SnapshotDamagedException">The database is damaged; rebuilding helps.</exception>
    internal Catalogue(StoreLayout layout)
    {
        _layout = layout;
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = layout.Catalogue, Pooling = false, DefaultTimeout = 30 }.ToString());
        try
        {
            Guard(() =>
            {
                _connection.Open();
                Run("PRAGMA journal_mode = DELETE");

                // What a database does not notice: a flipped bit inside a value. Hence a checksum for each row.
                Run("CREATE TABLE IF NOT EXISTS entry (directory TEXT NOT NULL, id TEXT NOT NULL, present INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (directory, id)) WITHOUT ROWID");
                EventLog.Drain(layout, Take);
            });
        }
        catch
        {
            _connection.Dispose();
            throw;
        }
    }

    /// <summary>Snapshots that were committed and not forgotten.</summary>
    internal HashSet<(string Directory, string Id)> Present() => Guard(() =>
    {
        var present = new HashSet<(string, string)>();
        using SqliteCommand command = _connection.CreateCommand();
        command.CommandText = "SELECT directory, id, present, crc FROM entry";
        using SqliteDataReader reader = command.ExecuteReader();
        while (reader.Read())
        {
            (string directory, string id, long flag) = (reader.GetString(0), reader.GetString(1), reader.GetInt64(2));
            if (reader.GetInt64(3) != Checksum(directory, id, flag))
            {
                throw new InvalidOperationException($"the entry of {directory}@{id} is damaged");
            }

            if (flag == 1)
            {
                present.Add((directory, id));
            }
        }

        return present;
    });

    /// <summary>What the database finds wrong with itself; null for nothing.</summary>
    internal string? IntegrityError() => Guard(() =>
    {
        using SqliteCommand command = _connection.CreateCommand();
        command.CommandText = "PRAGMA integrity_check(1)";
        return command.ExecuteScalar() as string is var answer and not "ok" ? answer ?? "no answer" : null;
    });

    /// <summary>Notes snapshots that exist.</summary>
    internal void Adopt(IEnumerable<(string Directory, string Id)> snapshots) =>
        Guard(() => Take([.. snapshots.Select(s => (StoreEvent.Committed, s.Directory, s.Id))]));

    private void Take(IReadOnlyList<(StoreEvent Kind, string Directory, string Id)> events)
    {
        if (events.Count == 0)
        {
            return;
        }

        using SqliteTransaction transaction = _connection.BeginTransaction();
        using SqliteCommand command = _connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = "INSERT OR REPLACE INTO entry (directory, id, present, crc) VALUES ($directory, $id, $present, $crc)";
        SqliteParameter directory = command.Parameters.Add("$directory", SqliteType.Text);
        SqliteParameter id = command.Parameters.Add("$id", SqliteType.Text);
        SqliteParameter present = command.Parameters.Add("$present", SqliteType.Integer);
        SqliteParameter crc = command.Parameters.Add("$crc", SqliteType.Integer);
        foreach ((StoreEvent kind, string objectDirectory, string snapshot) in events)
        {
            long flag = kind == StoreEvent.Committed ? 1 : 0;
            (directory.Value, id.Value, present.Value, crc.Value) = (objectDirectory, snapshot, flag, Checksum(objectDirectory, snapshot, flag));
            command.ExecuteNonQuery();
        }

        transaction.Commit();
    }

    private static long Checksum(string directory, string id, long present) =>
        Crc32C.Of(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{directory}\0{id}\0{present}")));

    private void Run(string sql)
    {
        using SqliteCommand command = _connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private void Guard(Action action) => Guard<object?>(() =>
    {
        action();
        return null;
    });

    private T Guard<T>(Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is SqliteException or InvalidOperationException or InvalidCastException or FormatException)
        {
            throw new SnapshotDamagedException(_layout.Catalogue, 0, $"the catalogue cannot be used: {e.Message}; verify --rebuild makes it again", e);
        }
    }

    public void Dispose() => _connection.Dispose();
}
