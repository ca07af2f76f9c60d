using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// Servers as people run them, under load from clients inside the application, which keep their connections, and with clients outside, which connect again.
/// A server counts in memory: what it answers after a restore is what comes next after the snapshot.
/// </summary>
public sealed class ServerTests
{
    private static readonly string[] All = ["redis", "redis-aof", "node", "asyncio", "prefork", "java", "dotnet", "go"];
    private static readonly string[] Databases = ["openmp", "sqlite"];

    /// <summary>All of them in the long run; otherwise those whose turn it is.</summary>
    public static TheoryData<string, int> Servers => Rotation.Of(All, 3);

    public static TheoryData<string, int> OfFiles => Rotation.Of(Databases, 1);

    [Theory]
    [MemberData(nameof(Servers))]
    public void A_server_goes_on_with_its_clients(string kind, int turn)
    {
        using var application = TestApplication.NotStarted(kind);
        if (kind == "redis-aof")
        {
            // What it has written since the snapshot must be gone with what it knew of it.
            application.Volumes = [application.Work.Path];
        }

        application.Start([BuiltPrograms.Application("servers.py")!, kind, application.Work.Path]);
        var port = int.Parse(File.ReadAllText(application.Work.In("port")), CultureInfo.InvariantCulture);
        string[] names = ["out-kept-0", "out-kept-1", "out-kept-2", "out-new"];
        var counted = 0;
        for (var round = 0; round < LongMode.Count(2, 10); round++)
        {
            using (Outside before = new(port, kind))
            {
                for (var i = 0; i < 3; i++)
                {
                    Assert.Equal(counted++, before.Next());
                }

                // This connection is open at the moment of the snapshot.
                var lines = Lines(application, names);
                application.CheckpointBetweenBytes();
                Progresses(application, names, lines, $"after checkpoint {round + 1}");
                Assert.Equal(counted, before.Next());
                lines = Lines(application, names);
                application.KillByForce();
                Until.Required(() => !Served.Listens(port), () => $"port {port} is still served");
                application.Restore(filesAsIs: true);
            }

            var restored = Lines(application, names);
            // What was counted after the snapshot never happened.
            using Outside after = new(port, kind);
            Assert.Equal(counted++, after.Next());
            Progresses(application, names, restored, $"after restore {round + 1} in turn {turn}");
        }

        // Who is connected while it is ended with its snapshot stays connected.
        using (Outside through = new(port, kind))
        {
            Assert.Equal(counted++, through.Next());
            application.CheckpointAndStop("--keep-connections", "10m");
            var stopped = Lines(application, names);
            application.Restore(filesAsIs: true);
            Assert.Equal(counted++, through.Next());
            Assert.Equal(1, through.Connections);
            Progresses(application, names, stopped, $"after the stop in turn {turn}");
        }

        application.Work.Mark("quiet");
        Until.Required(
            () => application.Work.Result is not null || names.All(name => File.ReadAllText(application.Work.In(name)).EndsWith("end\n", StringComparison.Ordinal)),
            () => $"the clients do not end: {application.Describe()}");
        application.RequirePass();
        Assert.All(names, name => ForetoldOutput.RequireWhole(application.Work.In(name), true));
    }

    [Theory]
    [MemberData(nameof(OfFiles))]
    public void Processes_that_work_on_files_or_memory_together_go_on(string kind, int turn)
    {
        using var application = TestApplication.NotStarted(kind);
        var program = kind == "sqlite" ? "sqlite.py" : kind;
        string[] names = kind == "sqlite" ? ["out-0", "out-1", "out-2"] : ["out"];
        application.Volumes = [application.Work.Path];
        application.Start([BuiltPrograms.Application(program)!, application.Work.Path]);
        for (var round = 0; round < LongMode.Count(2, 10); round++)
        {
            var lines = Lines(application, names);
            application.Checkpoint();
            Progresses(application, names, lines, $"after checkpoint {round + 1}");
            application.KillByForce();
            application.Restore();
            Progresses(application, names, Lines(application, names), $"after restore {round + 1} in turn {turn}");
        }

        application.RequirePass();
        Assert.All(names, name => ForetoldOutput.RequireWhole(application.Work.In(name), true));
    }

    private static Dictionary<string, int> Lines(TestApplication application, string[] names) =>
        names.ToDictionary(name => name, name => ForetoldOutput.RequireWhole(application.Work.In(name), false));

    private static void Progresses(TestApplication application, string[] names, Dictionary<string, int> from, string when)
    {
        Until.Required(
            () => application.Work.Result is not null || application.Processes().Count == 0 || Lines(application, names).All(now => now.Value >= from[now.Key] + 5),
            () => $"it stands still {when}: {application.Describe()}");
        Assert.Null(application.Work.Result);
        Assert.NotEmpty(application.Processes());
    }

    /// <summary>A client outside the application.</summary>
    private sealed class Outside : IDisposable
    {
        private readonly HttpClient? _http;
        private readonly TcpClient? _redis;
        private readonly StreamReader? _answers;

        public Outside(int port, string kind)
        {
            if (!kind.StartsWith("redis", StringComparison.Ordinal))
            {
                SocketsHttpHandler handler = new()
                {
                    ConnectCallback = async (context, cancel) =>
                    {
                        Connections++;
                        Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
                        await socket.ConnectAsync(context.DnsEndPoint, cancel);
                        return new NetworkStream(socket, ownsSocket: true);
                    },
                };
                _http = new HttpClient(handler) { BaseAddress = new Uri($"http://127.0.0.1:{port}"), Timeout = TimeSpan.FromSeconds(60) };
                Assert.Equal(Served.Content, _http.GetByteArrayAsync("/content").GetAwaiter().GetResult());
                return;
            }

            Connections = 1;
            _redis = new TcpClient("127.0.0.1", port) { ReceiveTimeout = 60_000 };
            _answers = new StreamReader(_redis.GetStream(), Encoding.ASCII);
        }

        /// <summary>How often it connected.</summary>
        public int Connections { get; private set; }

        /// <summary>How often it was asked before.</summary>
        public int Next()
        {
            if (_http is not null)
            {
                return int.Parse(_http.GetStringAsync("/next?key=outside").GetAwaiter().GetResult(), CultureInfo.InvariantCulture);
            }

            _redis!.GetStream().Write("INCR outside\r\n"u8);
            return int.Parse(_answers!.ReadLine()![1..], CultureInfo.InvariantCulture) - 1;
        }

        public void Dispose()
        {
            _http?.Dispose();
            _answers?.Dispose();
            _redis?.Dispose();
        }
    }
}
