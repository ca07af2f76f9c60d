using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>Sockets whose other ends are not the application's, names that are taken, and a supervisor that dies while it looks at queues.</summary>
public sealed class SocketTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void Connections_with_someone_outside_come_back_reset_and_the_listener_accepts_new_ones()
    {
        using TcpListener outside = new(IPAddress.Loopback, 0);
        outside.Start();
        int port = ((IPEndPoint)outside.LocalEndpoint).Port;
        IRunningApplication application = Launch(
            $"""
            c = socket.create_connection(('127.0.0.1', {port})); c.send(b'hello'); name = c.getsockname()
            l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(5); put('port', l.getsockname()[1]); s, _ = l.accept()
            """,
            """
            p = select.poll(); p.register(c, 1); p.register(s, 1)
            events = [e for _, e in p.poll(0)]
            kept = c.getsockname() == name
            def error(f):
                try: return f()
                except OSError as e: return e.errno
            l.setblocking(True)
            answer = events, error(lambda: c.recv(9)), c.recv(9), error(lambda: c.send(b'x')), error(lambda: s.recv(9)), kept
            put('accepting', 1); n, _ = l.accept(); put('answer', (*answer, n.recv(3)))
            """);
        SpaceFixture.Until(() => Number("port") > 0, "port");
        using TcpClient client = new("127.0.0.1", Number("port"));
        using TcpClient accepted = outside.AcceptTcpClient();
        bench.Expect("ready");
        Assert.Contains(bench.Bridge.CheckApplication(application.Target), row => row.Verdict == CheckVerdict.Caveat && row.What.StartsWith("2 TCP connections", StringComparison.Ordinal));
        application = bench.Reincarnate(application);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.Expect("accepting");
        using TcpClient late = new("127.0.0.1", Number("port"));
        late.GetStream().Write("new"u8);

        // POLLIN, POLLERR, POLLHUP; ECONNRESET, then the end; EPIPE.
        Assert.Equal("([25, 25], 104, b'', 32, 104, True, b'new')", Answer());
        Health.AssertRuns(application.MainPid);
    }

    [Fact]
    public void A_port_that_is_taken_is_named_and_nothing_is_built()
    {
        IRunningApplication application = Launch("l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(5); put('port', l.getsockname()[1])", "put('answer', l.getsockname()[1])");
        bench.Expect("ready");
        Taken taken = bench.Checkpoint(application, kill: true);
        int port = Number("port");
        SpaceFixture.Until(() => ProcessStat.TryRead(application.MainPid)?.State is null or 'Z' or 'X', "it has ended, and the port is free");
        using (TcpListener other = new(IPAddress.Loopback, port))
        {
            other.Start();
            Refusal only = Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(taken)).Refusals);
            Assert.Equal("port.taken", only.Code);
            Assert.Contains($"port {port} ", only.Why, StringComparison.Ordinal);
        }

        bench.Restore(taken);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        Assert.Equal($"{port}", Answer());
    }

    [Fact]
    public void A_stale_socket_file_is_replaced_and_any_other_file_is_not()
    {
        string path = bench.PathOf("socket");
        IRunningApplication application = Launch($"l = socket.socket(socket.AF_UNIX); l.bind('{path}'); l.listen(5)", "put('answer', l.accept()[0].recv(5))");
        bench.Expect("ready");
        Taken taken = bench.Checkpoint(application);
        Assert.Equal("socket.path", Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(taken)).Refusals).Code);
        application.Kill();
        File.Move(path, path + ".old");
        File.WriteAllText(path, "precious");
        Assert.Equal("socket.path", Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(taken)).Refusals).Code);
        Assert.Equal("precious", File.ReadAllText(path));
        File.Move(path + ".old", path, overwrite: true);
        bench.Restore(taken);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(path));
        client.Send("hello"u8);
        Assert.Equal("b'hello'", Answer());
    }

    [Fact]
    public void A_Unix_socket_that_leads_outside_is_refused_with_the_name_of_its_peer()
    {
        string path = bench.PathOf("outside");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        IRunningApplication application = Launch($"c = socket.socket(socket.AF_UNIX); c.connect('{path}')", "put('answer', 0)");
        using Socket accepted = listener.Accept();
        bench.Expect("ready");
        Assert.Equal(["socket.outside"], bench.RefusalsOf(application));
        Assert.Contains(bench.Bridge.CheckApplication(application.Target), row => row.Code == "socket.outside" && row.What.Contains($"process {Environment.ProcessId} ", StringComparison.Ordinal));
    }

    [Fact]
    public void Settings_of_sockets_survive_a_supervisor_that_dies_while_it_looks_at_their_queues()
    {
        IRunningApplication application = Launch(
            """
            pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(100)]
            for a, b in pairs:
                for i in range(5): a.send(b'%d' % i)
            """,
            "put('answer', all([b.recv(9) for i in range(5)] == [b'0', b'1', b'2', b'3', b'4'] for a, b in pairs))");
        bench.Expect("ready");
        if (Tools.Find("strace") is not { } strace)
        {
            return;
        }

        for (int death = 0; death < Tools.Count(8, 100); death++)
        {
            using HelperProcess supervisor = new("checkpoint-forever", JsonSerializer.Serialize(application.Target));
            Assert.Equal("ready", supervisor.ReadLine());
            Assert.Equal("taken", supervisor.ReadLine());

            // Of the seven looks into each queue, five are made while the setting is changed: most deaths are in one of them.
            using Process killer = Process.Start(
                strace, ["-f", "-qq", "-o", bench.PathOf("strace"), "-e", "trace=recvmsg", "-e", $"inject=recvmsg:signal=KILL:when={10 + death}", "-p", $"{supervisor.Pid}"]);
            Assert.True(killer.WaitForExit(SpaceFixture.Patience));
            supervisor.Kill();
            Health.AssertRuns(application.MainPid);
            foreach (DescriptorFacts facts in DescriptorFacts.ReadAll(application.MainPid, 0).Where(Holdfast.KernelBridge.Resources.Sockets.IsSocket))
            {
                using SocketCopy copy = SocketCopy.TryTake(facts.Pid, facts.Number)!;
                Assert.Equal(-1, copy.Number(SocketCalls.SOL_SOCKET, SocketCalls.SO_PEEK_OFF));
            }
        }

        File.WriteAllText(bench.PathOf("go"), string.Empty);
        Assert.Equal("True", Answer());
    }

    public void Dispose() => bench.Dispose();

    private int Number(string name) => File.Exists(bench.PathOf(name)) && int.TryParse(File.ReadAllText(bench.PathOf(name)), out int number) ? number : 0;

    private string Answer()
    {
        bench.Expect("answer");
        return File.ReadAllText(bench.PathOf("answer"));
    }

    private IRunningApplication Launch(string setup, string question) => bench.Python(
        $"""
        import os, select, socket, time
        out = os.environ['OUT']
        def put(name, value):
            with open(out + '/.part', 'w') as f: f.write(str(value))
            os.rename(out + '/.part', out + '/' + name)
        {setup}
        put('ready', 1)
        while not os.path.exists(out + '/go'): time.sleep(0.01)
        {question}
        while True: time.sleep(1)
        """);
}
