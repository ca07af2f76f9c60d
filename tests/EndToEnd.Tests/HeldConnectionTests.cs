using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Holdfast.EndToEnd.Tests;

/// <summary><c>checkpoint --stop --keep-connections</c>: who is connected only waits, and only a restore of that snapshot gets the connections.</summary>
public sealed class HeldConnectionTests : IDisposable
{
    private readonly TestApplication _application = TestApplication.NotStarted("counting");

    public void Dispose() => _application.Dispose();

    [Fact]
    public void Connections_wait_while_it_is_stopped_and_go_on_byte_for_byte()
    {
        var port = Start();
        using Client open = new(port), half = new(port);
        Assert.Equal("1 a", open.Ask("a"));
        Assert.Equal("1 b", half.Ask("b"));
        _application.CheckpointAndStop("--keep-connections", "10m");

        // What comes meanwhile waits in the sockets: bytes, the end of a stream, and a new connection.
        open.Send("while it was gone");
        half.Send("the last");
        half.EndSending();
        using Client late = new(port);
        late.Send("first");
        _application.Rehearse();
        var restored = _application.Restore();
        Assert.Equal(3, restored.Number("connectionsKept"));
        Assert.Equal("2 while it was gone", open.Answer());
        Assert.Equal("3 c", open.Ask("c"));
        Assert.Equal("2 the last", half.Answer());
        Assert.Equal("end 2", half.Answer());
        Assert.Null(half.Answer());
        Assert.Equal("1 first", late.Answer());
        RequireNothingHeld();
        _application.RequirePass();
    }

    [Fact]
    public void Only_the_first_restore_of_that_snapshot_gets_them()
    {
        var port = Start();
        using Client open = new(port);
        Assert.Equal("1 a", open.Ask("a"));
        _application.CheckpointAndStop("--keep-connections", "10m");
        _application.Restore();
        Assert.Equal("2 b", open.Ask("b"));
        _application.KillByForce();
        Assert.True(open.IsGone());

        // Its connections have moved on since: they are reset, as after every roll-back.
        var again = _application.Restore();
        Assert.Equal("null", again.Text("connectionsKept"));
        using Client other = new(port);
        Assert.Equal("1 z", other.Ask("z"));
        _application.RequirePass();
    }

    [Fact]
    public void A_restore_that_is_killed_leaves_them_held()
    {
        var port = Start();
        using Client open = new(port);
        Assert.Equal("1 a", open.Ask("a"));
        _application.CheckpointAndStop("--keep-connections", "10m");
        open.Send("b");
        foreach (var call in (string[])["PTRACE_SEIZE", "recvmsg", "dup2"])
        {
            _application.HoldfastUnder(["strace", "-f", "-qq", "-o", "/dev/null", "-e", $"inject={(call == "PTRACE_SEIZE" ? "ptrace" : call)}:signal=KILL:when=3"], "restore", _application.Name, "--detach");
            Until.Required(() => _application.Processes().Count == 0, () => $"something of a killed restore lives: {_application.Describe()}");
        }

        _application.Restore();
        Assert.Equal("2 b", open.Answer());
        Assert.Equal("3 c", open.Ask("c"));
        RequireNothingHeld();
        _application.RequirePass();
    }

    [Theory]
    [InlineData("the time is over")]
    [InlineData("the snapshot is forgotten")]
    [InlineData("the application is started anew")]
    [InlineData("another snapshot is restored")]
    public void They_are_let_go_when(string event_)
    {
        var port = Start();
        var earlier = _application.Checkpoint().Text("snapshot")!;
        using Client open = new(port);
        Assert.Equal("1 a", open.Ask("a"));
        var stopped = _application.CheckpointAndStop("--keep-connections", event_ == "the time is over" ? "1s" : "10m");
        switch (event_)
        {
            case "the snapshot is forgotten":
                _application.Holdfast("forget", $"{_application.Name}@{stopped.Text("snapshot")}").Required();
                break;
            case "the application is started anew":
                _application.Holdfast("run", "--name", _application.Name, "--detach", "sleep", "1000").Required();
                break;
            case "another snapshot is restored":
                _application.Restore(earlier);
                break;
        }

        Assert.True(open.IsGone());
        RequireNothingHeld();
    }

    [Fact]
    public void Without_stop_there_is_nothing_to_hold()
    {
        Start();
        var refused = _application.Holdfast("checkpoint", _application.Name, "--keep-connections", "10m");
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("--stop", refused.Error, StringComparison.Ordinal);
        _application.RequirePass();
    }

    private int Start()
    {
        _application.Start([BuiltPrograms.Application("counting.py")!, _application.Work.Path]);
        return int.Parse(File.ReadAllText(_application.Work.In("port")), CultureInfo.InvariantCulture);
    }

    private void RequireNothingHeld() => Until.Required(
        () => Directory.GetFiles(Path.Combine(_application.Work.Store, "apps", _application.Name), "connections-*").Length == 0, () => "connections are still held");

    private sealed class Client : IDisposable
    {
        private readonly TcpClient _connection;
        private readonly StreamReader _answers;

        public Client(int port)
        {
            _connection = new TcpClient("127.0.0.1", port) { ReceiveTimeout = 60_000 };
            _answers = new StreamReader(_connection.GetStream(), Encoding.ASCII);
        }

        public void Send(string line) => _connection.GetStream().Write(Encoding.ASCII.GetBytes(line + "\n"));

        public string? Answer() => _answers.ReadLine();

        public string? Ask(string line)
        {
            Send(line);
            return Answer();
        }

        public void EndSending() => _connection.Client.Shutdown(SocketShutdown.Send);

        /// <summary>Waits until the other end is gone; false when it still is after a while.</summary>
        public bool IsGone()
        {
            try
            {
                return _answers.ReadLine() is null;
            }
            catch (IOException e)
            {
                return e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset };
            }
        }

        public void Dispose() => _connection.Dispose();
    }
}
