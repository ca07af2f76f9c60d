using System.Net;
using System.Net.Sockets;

namespace Holdfast.EndToEnd.Tests;

/// <summary>An application in a network of its own, which a pair of virtual interfaces joins to the host's: it is restored with its addresses, and its clients find it where it was.</summary>
public sealed class NetworkTests
{
    private const string Server =
        """
        import os, socket, sys
        work, address = sys.argv[1], sys.argv[2]
        # The interface comes when the network is there.
        while not os.path.exists(work + "/joined"): pass
        server = socket.create_server((address, 7777), reuse_port=False)
        count = 0
        open(work + "/.ready", "w").close(); os.rename(work + "/.ready", work + "/ready")
        while True:
            client, (peer, _) = server.accept()
            count += 1
            client.sendall(f"{count} {peer}\n".encode())
            client.close()
        """;

    [InstalledFact("ip")]
    public void A_network_of_its_own_comes_back_with_its_addresses_and_routes()
    {
        var tag = Guid.NewGuid().ToString("N")[..6];
        var net = 1 + (Convert.ToInt32(tag[..2], 16) % 250);
        var (outside, inside, bridge) = ($"hfo{tag}", $"hfi{tag}", $"hfb{tag}");
        using var application = TestApplication.NotStarted($"net-{tag}");
        try
        {
            File.WriteAllText(application.Work.In("server.py"), Server);
            application.Holdfast(
                "run", "--name", application.Name, "--detach", "--isolate", "pid,mount,uts,ipc,time,shm,net", "--",
                "/usr/bin/python3", application.Work.In("server.py"), application.Work.Path, $"10.213.{net}.2").Required();
            Until.Required(() => application.Processes().Count == 1, () => "it does not run");
            Ip($"link add {bridge} type bridge");
            Ip($"link add {outside} type veth peer name {inside} netns {application.Processes()[0].Pid}");
            Ip($"addr add 10.213.{net}.1/24 dev {outside}");
            Ip($"link set {outside} mtu 1400 up");
            Inside(application, $"addr add 10.213.{net}.2/24 brd + dev {inside}");
            Inside(application, $"addr add fd00:213:{net}::2/64 dev {inside} nodad");
            Inside(application, "addr add 192.0.2.9/32 dev lo");
            Inside(application, $"link set {inside} up");
            Inside(application, $"route add default via 10.213.{net}.1 dev {inside} metric 7");
            Inside(application, $"-6 route add 2001:db8::/32 via fd00:213:{net}::1 dev {inside}");
            Ip($"route add 198.51.{net}.0/24 via 10.213.{net}.2 dev {outside}");
            application.Work.Mark("joined");
            Until.Required(() => application.Work.Has("ready"), () => application.Describe());
            Assert.Equal($"1 10.213.{net}.1", Ask(net));
            var before = State(application, outside, inside);
            Assert.Contains("metric 7", before, StringComparison.Ordinal);

            for (var round = 2; round < 4; round++)
            {
                Assert.Empty(application.Check());
                var snapshot = application.Checkpoint().Text("snapshot")!;
                // While it is there its interface is.
                Assert.Equal("net.taken", application.RestoreBeside(snapshot, "copy").RequiredToBeRefused().ErrorCode);
                application.Kill();
                application.Rehearse();
                application.Restore();
                Assert.Equal(before, State(application, outside, inside));
                Assert.Equal($"{round} 10.213.{net}.1", Ask(net));
            }

            // As a port of a bridge, which has to be there.
            Ip($"link set {outside} master {bridge}");
            application.Checkpoint();
            application.Kill();
            Ip($"link del {bridge}");
            Assert.Equal("net.bridge", application.Holdfast("restore", application.Name, "--detach").RequiredToBeRefused().ErrorCode);
            Ip($"link add {bridge} type bridge");
            application.Restore();
            Assert.Contains($"master {bridge}", Run("ip", "link", "show", outside), StringComparison.Ordinal);
            application.Kill();
            Until.Required(() => !Directory.Exists($"/sys/class/net/{outside}"), () => "the interface stays");
            RefuseToAnOrdinaryUser(application);
        }
        finally
        {
            ProcessScan.KillAll(application.Work.Path);
            foreach (var name in (string[])[outside, bridge])
            {
                if (Directory.Exists($"/sys/class/net/{name}"))
                {
                    _ = Command("ip", "link", "del", name);
                }
            }
        }
    }

    /// <summary>The snapshot is his now, and he may not make an interface in the host's network.</summary>
    private static void RefuseToAnOrdinaryUser(TestApplication application)
    {
        if (OrdinaryUser.Missing is not null)
        {
            return;
        }

        OrdinaryUser user = new(OrdinaryUser.UsualId);
        foreach (var path in Directory.GetFileSystemEntries(application.Work.Top, "*", SearchOption.AllDirectories).Append(application.Work.Top))
        {
            user.Own(path);
        }

        var refusal = application.As(user.Prefix, [Repository.HoldfastCommand, .. application.Arguments("restore", [application.Name, "--rehearse"])]).RequiredToBeRefused();
        Assert.Contains("rights.net", refusal.Output + refusal.Error, StringComparison.Ordinal);
        Assert.Contains("only root may make an interface in the host's network; restore as root", refusal.Output + refusal.Error, StringComparison.Ordinal);
    }

    private static string Ask(int net)
    {
        using TcpClient client = new();
        Until.Required(
            () =>
            {
                try
                {
                    client.Connect(IPAddress.Parse($"10.213.{net}.2"), 7777);
                    return true;
                }
                catch (SocketException)
                {
                    return false;
                }
            },
            () => "nobody answers at the old address");
        using StreamReader reader = new(client.GetStream());
        return reader.ReadLine()!;
    }

    /// <summary>Addresses and routes of both ends, without numbers that are the kernel's.</summary>
    private static string State(TestApplication application, string outside, string inside)
    {
        List<string> lines = [];
        foreach (var (place, name) in ((string[], string)[])[([], outside), (Enter(application), inside), (Enter(application), "lo")])
        {
            lines.AddRange(Run([.. place, "ip", "-o", "addr", "show", "dev", name, "scope", "global"]).Split('\n').Select(line => line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..]).Order());
            lines.AddRange(Run([.. place, "ip", "route", "show", "dev", name]).Split('\n').Order());
            lines.AddRange(Run([.. place, "ip", "-6", "route", "show", "dev", name]).Split('\n').Where(line => !line.StartsWith("fe80", StringComparison.Ordinal)).Order());
            lines.Add(string.Join(' ', Run([.. place, "ip", "-o", "link", "show", "dev", name]).Split(' ').SkipWhile(word => word != "mtu").Take(2)));
            lines.Add(string.Join(' ', Run([.. place, "ip", "-o", "link", "show", "dev", name]).Split(' ').SkipWhile(word => !word.StartsWith("link/", StringComparison.Ordinal)).Take(2)));
        }

        return string.Join('\n', lines.Select(line => line.Trim()));
    }

    private static string[] Enter(TestApplication application) => ["nsenter", "-t", $"{application.Processes()[0].Pid}", "-n"];

    private static void Ip(string arguments) => Run(["ip", .. arguments.Split(' ')]);

    private static void Inside(TestApplication application, string arguments) => Run([.. Enter(application), "ip", .. arguments.Split(' ')]);

    private static string Run(params string[] words) => Command(words).Required().Output;

    private static CommandResult Command(params string[] words) => new CommandRunner(Path.GetTempPath(), new Dictionary<string, string>()).Run(TimeSpan.FromMinutes(1), words[0], words[1..]);
}
