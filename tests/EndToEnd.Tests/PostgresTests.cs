using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// PostgreSQL as Debian has it, with the processes of its server and with clients that work in it, loses everything to SIGKILL and goes on from a snapshot that
/// was taken while it worked, with its files as a volume: the clients do not notice, and the data are consistent.
/// </summary>
public sealed class PostgresTests
{
    private const string User = "nobody";
    private static readonly int Rounds = LongMode.Count(2, 10);

    // The server and its clients are one application. It checks itself when it is told to; a client that met an error ends otherwise than with 0.
    private const string Script = """
        set -eu
        cd "$1"
        export PATH="$2:$PATH" PGHOST="$1" PGDATABASE=postgres PGUSER=nobody HOME="$1"
        say() { echo "$1" >result.part; mv result.part result; }
        trap 'say "FAIL: line $LINENO: $(tail -n 5 log clients 2>/dev/null | tr "\n" "|")"' ERR
        initdb -D data -A trust -U nobody --no-sync >setup 2>&1
        printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$1'" 'checkpoint_timeout = 30s' 'max_wal_size = 64MB' >>data/postgresql.conf
        postgres -D data </dev/null >log 2>&1 &
        server=$!
        while ! pg_isready -q; do kill -0 $server; read -rt 0.05 <>fifo || :; done
        psql -qc 'create extension amcheck' >>setup 2>&1
        pgbench -q -i -s 2 >>setup 2>&1
        pgbench -n -c 4 -j 2 -T 100000 -P 1 </dev/null >clients 2>&1 &
        clients=$!
        while ! grep -q ^progress clients; do kill -0 $clients; read -rt 0.05 <>fifo || :; done
        : >ready
        while [ ! -e go ]; do
            kill -0 $server; kill -0 $clients
            psql -Atc 'select count(*) from pgbench_history' >count.part; mv count.part count
            read -rt 0.05 <>fifo || :
        done
        # pgbench ends by SIGINT only where that is not ignored, as in the background; its connections end with it.
        kill -TERM $clients; wait $clients || :
        if grep -E 'error|ERROR|FATAL|aborted|lost' clients >&2; then false; fi
        if grep -E 'PANIC|crash|terminated by signal|corrupt|invalid|not properly shut down' log >&2; then false; fi
        sums=$(psql -Atc 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)
            and (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history)
            and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)')
        [ "$sums" = t ]
        psql -Atqc "select bt_index_check(c.oid, true) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
            where a.amname = 'btree' and c.relpersistence = 'p'" >checked
        [ "$(wc -l <checked)" -gt 50 ]
        kill -INT $server; wait $server
        grep -q 'database system is shut down' log
        say PASS
        """;

    [Fact]
    public void PostgreSQL_and_its_clients_go_on_with_consistent_data()
    {
        if (Programs() is not { } programs)
        {
            // The package postgresql is not installed.
            return;
        }

        using var application = TestApplication.NotStarted("postgres");
        Give(application.Work.Path);
        File.WriteAllText(application.Work.In("run.sh"), Script);
        application.Volumes = [application.Work.Path];
        application.Start([
            "setpriv", $"--reuid={User}", "--regid=nogroup", "--clear-groups", "bash", "-c", $"mkfifo {application.Work.In("fifo")}; exec bash {application.Work.In("run.sh")} {application.Work.Path} {programs}",
        ]);
        for (var round = 0; round < Rounds; round++)
        {
            var taken = application.CheckpointBetweenBytes();
            // The shell, the server, its helpers, one for each connection, the clients.
            Assert.True(taken.Number("processes") >= 12, taken.Output);
            var then = Transactions(application);
            Until.Required(() => Transactions(application) > then + 100, () => $"it does not go on after checkpoint {round + 1}: {application.Describe()}");
            application.KillByForce();
            application.Restore();
            var before = Transactions(application);
            Until.Required(
                () => application.Work.Result is not null || application.Processes().Count == 0 || Transactions(application) > before + 100,
                () => $"it stands still after restore {round + 1}: {application.Describe()}");
            Assert.Null(application.Work.Result);
        }

        application.RequirePass();
    }

    private static int Transactions(TestApplication application) => int.Parse(File.ReadAllText(application.Work.In("count")), CultureInfo.InvariantCulture);

    /// <summary>The newest installed server's programs, or null.</summary>
    private static string? Programs() => Directory.Exists("/usr/lib/postgresql")
        ? Directory.EnumerateDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin")).LastOrDefault(bin => File.Exists(Path.Combine(bin, "initdb")))
        : null;

    private static void Give(string directory) => new CommandRunner(directory, new Dictionary<string, string>()).Run(TimeSpan.FromSeconds(10), "/bin/chown", $"{User}:nogroup", directory).Required();
}
