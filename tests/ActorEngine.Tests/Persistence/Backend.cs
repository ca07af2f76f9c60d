using Akka.Configuration;
using Microsoft.Data.Sqlite;
using Xunit.Sdk;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>A database for one test.</summary>
internal sealed class Backend : IDisposable
{
    private readonly string? _directory;

    public Backend(string kind, PostgresCluster cluster, string? parent = null)
    {
        Kind = kind;
        switch (kind)
        {
            case "sqlite":
                _directory = parent is null ? Directory.CreateTempSubdirectory("holdfast-sqlite-").FullName : Directory.CreateDirectory(Path.Combine(parent, "db")).FullName;
                Provider = "SQLite.MS";
                ConnectionString = $"Data Source={Path.Combine(_directory, "journal.db")}";
                break;
            case "postgres":
                if (cluster.Missing is not null)
                {
                    throw SkipException.ForSkip(cluster.Missing);
                }

                Provider = "PostgreSQL";
                ConnectionString = cluster.CreateDatabase();
                break;
            default:
                Provider = ConnectionString = "";
                break;
        }
    }

    public string Kind { get; }

    public string Provider { get; }

    public string ConnectionString { get; }

    public string Hocon => Kind == "memory"
        ? Quiet
        : Quiet + $$"""

            akka.persistence {
              journal {
                plugin = "akka.persistence.journal.sql"
                sql { connection-string = "{{ConnectionString}}", provider-name = "{{Provider}}", {{Patient}} }
              }
              snapshot-store {
                plugin = "akka.persistence.snapshot-store.sql"
                sql { connection-string = "{{ConnectionString}}", provider-name = "{{Provider}}", {{Patient}} }
              }
            }
            """;

    // On a machine that is busy enough a database that is well may take longer than the defaults allow.
    private static string Patient => "recovery-event-timeout = 300s, circuit-breaker.call-timeout = 300s";

    private static string Quiet => Patience.Config + "akka { loglevel = OFF, stdout-loglevel = OFF }";

    public Config Config => ConfigurationFactory.ParseString(Hocon);

    public void Dispose()
    {
        if (_directory is not null)
        {
            SqliteConnection.ClearAllPools();
            Directory.Delete(_directory, recursive: true);
        }
    }
}
