using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Node;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast node</c>: serves the store to other nodes until it is told to end.</summary>
internal static class NodeCommand
{
    public static Command Build(Executor executor)
    {
        Option<string?> config = Options.Text("--config", "FILE", "The configuration (default: $HOLDFAST_CONFIG, else STORE/holdfast.conf)");
        Option<string?> listen = Options.Text("--listen", "ADDRESS:PORT", "Where it listens; port 0 takes a free one (default: holdfast.node.listen)");
        DeviceOptions devices = new();
        DocumentedCommand command = new("node", "Serves the store to other nodes over HTTP/2 with mutual TLS, until SIGINT or SIGTERM. It is a device for 'migrate' and 'repair'.")
        {
            Examples =
            [
                ("holdfast node --certificate node1.pem --private-key node1.key --authority ca.pem", "then, elsewhere: holdfast migrate web --to https://node1:7420"),
                ("holdfast node --config /etc/holdfast.conf", "with certificates and address from a file"),
            ],
        };
        foreach (Option option in (Option[])[config, listen, devices.Certificate, devices.PrivateKey, devices.Authority])
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => executor.ExecuteCancellable(parsed, (session, cancellation) =>
        {
            if (parsed.GetValue(config) is { } file)
            {
                Environment.SetEnvironmentVariable("HOLDFAST_CONFIG", Path.GetFullPath(file));
            }

            TlsFiles tls = devices.Tls(parsed, session);
            return ServeAsync(session, EndPoint(parsed.GetValue(listen) ?? session.Settings.Storage.Listen), tls, cancellation);
        }));
        return command;
    }

    // Not inlined: the web server is only loaded by who comes here.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<int> ServeAsync(Session session, IPEndPoint listen, TlsFiles tls, CancellationToken cancellation)
    {
        (X509Certificate2 own, X509Certificate2 authority) = Device.Certificates(tls);
        SnapshotStore store = session.Store.Snapshots();
        StoreServer server;
        try
        {
            server = await StoreServer.StartAsync(store, listen, own, authority).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new HoldfastException("node.listen", $"cannot listen at {listen}: {(e.InnerException ?? e).Message}; choose another with --listen", inner: e);
        }

        await using (server)
        {
            session.Output.Result(new NodeJson(server.Address, store.Directory), StorageJson.Default.NodeJson, n => $"{n.Store} is served at {n.Address}");
            TaskCompletionSource ended = new();
            await using CancellationTokenRegistration registration = cancellation.Register(ended.SetResult);
            await ended.Task.ConfigureAwait(false);
        }

        return ExitStatus.Done;
    }

    private static IPEndPoint EndPoint(string text) => IPEndPoint.TryParse(text, out IPEndPoint? point) && text.Contains(':')
        ? point
        : throw new HoldfastException("node.listen", $"'{text}' is no place to listen at: write ADDRESS:PORT, such as 0.0.0.0:7420 or [::]:7420", ExitStatus.Usage);
}
