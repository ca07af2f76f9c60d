using System.Diagnostics;
using System.Runtime.InteropServices;
using Npgsql;
using Xunit;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>A PostgreSQL server of the tests' own, in a directory of its own, reached by a socket there. Gone with the test process.</summary>
public sealed class PostgresCluster : IDisposable
{
    private const int Nobody = 65534;

    private readonly string? _directory;
    private readonly string _postgres = "";
    private Process? _server;

    public PostgresCluster()
    {
        var bin = Directory.Exists("/usr/lib/postgresql")
            ? Directory.GetDirectories("/usr/lib/postgresql").OrderDescending().Select(version => Path.Combine(version, "bin")).FirstOrDefault(path => File.Exists(Path.Combine(path, "initdb")))
            : null;
        if (bin is null)
        {
            Missing = "PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/initdb): install the Debian package postgresql to run these tests";
            Console.WriteLine(Missing);
            return;
        }

        _directory = Directory.CreateTempSubdirectory("holdfast-pg-").FullName;
        var data = Path.Combine(_directory, "data");
        if (Environment.IsPrivilegedProcess)
        {
            Run("chown", $"{Nobody}:{Nobody}", _directory);
        }

        RunAsNobody(Path.Combine(bin, "initdb"), "-D", data, "-U", "holdfast", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync");
        _postgres = Path.Combine(bin, "postgres");
        StartServer();
        ConnectionString = $"Host={_directory};Username=holdfast;Database=postgres;Timeout=10;Maximum Pool Size=20";
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Dispose();
        AwaitReady();
    }

    public string? Missing { get; }

    public string ConnectionString { get; } = "";

    /// <summary>A database of its own for one test.</summary>
    public string CreateDatabase()
    {
        var name = "t" + Guid.NewGuid().ToString("N");
        using var connection = new NpgsqlConnection(ConnectionString + ";Pooling=false");
        connection.Open();
        using var command = new NpgsqlCommand($"CREATE DATABASE {name}", connection);
        command.ExecuteNonQuery();
        return ConnectionString.Replace("Database=postgres", "Database=" + name, StringComparison.Ordinal);
    }

    /// <summary>Ends the server without notice, as a crash does, and starts it again after <paramref name="meanwhile"/>.</summary>
    public void Restart(Action meanwhile)
    {
        StopServer();
        try
        {
            meanwhile();
        }
        finally
        {
            StartServer();
            AwaitReady();
        }
    }

    private void StartServer() => _server = Start(
        _postgres, "-D", Path.Combine(_directory!, "data"), "-k", _directory!, "-c", "listen_addresses=", "-c", "max_connections=60", "-c", "logging_collector=off");

    // SIGQUIT is the immediate shutdown.
    private void StopServer()
    {
        if (_server is { HasExited: false })
        {
            _ = Kill(_server.Id, 3);
            if (!_server.WaitForExit(10_000))
            {
                _server.Kill(entireProcessTree: true);
            }
        }
    }

    public void Dispose()
    {
        StopServer();

        if (_directory is not null && Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    private void AwaitReady()
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var connection = new NpgsqlConnection(ConnectionString + ";Pooling=false");
                connection.Open();
                return;
            }
            catch (NpgsqlException) when (watch.Elapsed < TimeSpan.FromSeconds(60) && _server is { HasExited: false })
            {
                Thread.Yield();
            }
        }
    }

    private static void RunAsNobody(string program, params string[] arguments)
    {
        using var process = Start(program, arguments);
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} failed with {process.ExitCode}");
        }
    }

    private static Process Start(string program, params string[] arguments) => Environment.IsPrivilegedProcess
        ? Launch("setpriv", ["--reuid", Nobody.ToString(), "--regid", Nobody.ToString(), "--clear-groups", "--", program, .. arguments])
        : Launch(program, arguments);

    private static void Run(string program, params string[] arguments)
    {
        using var process = Launch(program, arguments);
        process.WaitForExit();
    }

    private static Process Launch(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        var process = Process.Start(start)!;
        process.OutputDataReceived += static (_, _) => { };
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int signal);
}

[CollectionDefinition("databases")]
public sealed class DatabaseCollection : ICollectionFixture<PostgresCluster>
{
}
