using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text.Json;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Supervision;

/// <summary>Lets other commands reach the supervisor of an application through the socket in its directory.</summary>
internal sealed class SupervisorServer : IDisposable
{
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(2);

    private readonly IApplicationControl _control;
    private readonly Socket _listener;
    private readonly string _path;
    private readonly TimeSpan _stopGrace;
    private readonly CancellationTokenSource _ended = new();
    private readonly ConcurrentDictionary<Task, bool> _served = new();

    private SupervisorServer(IApplicationControl control, Socket listener, string path, TimeSpan stopGrace)
    {
        _control = control;
        _listener = listener;
        _path = path;
        _stopGrace = stopGrace;
    }

    /// <summary>Starts to listen. The caller holds the application's lock, so that a socket that is there is a dead supervisor's.</summary>
    public static SupervisorServer Start(IApplicationControl control, string path, TimeSpan stopGrace)
    {
        File.Delete(path);
        Socket listener = SupervisorSocket.New();
        try
        {
            SupervisorSocket.At(path, end =>
            {
                listener.Bind(end);
                return 0;
            });
            // Nobody can have connected yet: it does not listen.
            if (Libc.chmod(path, 0x180) != 0)
            {
                throw new HoldfastException("store.io", $"{path}: {Libc.LastError()}");
            }

            listener.Listen(16);
        }
        catch
        {
            listener.Dispose();
            throw;
        }

        SupervisorServer server = new(control, listener, path, stopGrace);
        _ = server.AcceptAsync();
        return server;
    }

    /// <summary>Waits until those who asked have their answers, for a short while.</summary>
    public Task DrainAsync() => Task.WhenAny(Task.WhenAll(_served.Keys), Task.Delay(DrainLimit));

    public void Dispose()
    {
        _ended.Cancel();
        _listener.Dispose();
        File.Delete(_path);
    }

    private async Task AcceptAsync()
    {
        while (!_ended.IsCancellationRequested)
        {
            try
            {
                Socket socket = await _listener.AcceptAsync(_ended.Token).ConfigureAwait(false);
                Task serving = ServeAsync(socket);
                _served[serving] = true;
                _ = serving.ContinueWith(t => _served.TryRemove(t, out _), TaskScheduler.Default);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // Out of descriptors, or the peer went away before it was accepted: neither ends the supervision.
                await Task.Delay(50).ConfigureAwait(false);
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using (socket)
        {
            try
            {
                if (!SupervisorSocket.PeerIsTrusted(socket))
                {
                    await SendAsync(socket, Refusal("not_permitted", "the supervisor belongs to another user", ExitStatus.NotPermitted)).ConfigureAwait(false);
                    return;
                }

                SupervisorRequest? request = await Frames.ReceiveAsync(socket, ProtocolJson.Default.SupervisorRequest, _ended.Token).ConfigureAwait(false);
                if (request is { Operation: "live" })
                {
                    await ServeLiveAsync(socket).ConfigureAwait(false);
                }
                else if (request is not null)
                {
                    await SendAsync(socket, await AnswerAsync(socket, request).ConfigureAwait(false)).ConfigureAwait(false);
                }
            }
            catch (Exception e) when (e is SocketException or JsonException or OperationCanceledException or ObjectDisposedException)
            {
                // The other end went away or speaks another language; there is nobody to tell.
            }
        }
    }

    /// <summary>Takes the state, says where it is, and holds it until the other end closes.</summary>
    private async Task ServeLiveAsync(Socket socket)
    {
        using CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
        Task watching = WatchAsync(socket, gone);
        string? live = null;
        try
        {
            live = await _control.TakeLiveAsync(Progress(socket), gone.Token).ConfigureAwait(false);
            await SendAsync(socket, new SupervisorReply(Live: live)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not SocketException)
        {
            await SendAsync(socket, Failure(e)).ConfigureAwait(false);
        }
        finally
        {
            if (live is not null)
            {
                await watching.ConfigureAwait(false);
                _control.ReleaseLive(live);
            }
        }
    }

    private static SupervisorReply Failure(Exception e)
    {
        HoldfastException error = HoldfastException.From(e);
        return new SupervisorReply(
            Error: new ErrorJson(error.Code, error.Message, error.Phase, error.Refusals.Count == 0 ? null : [.. error.Refusals.Select(Output.ToJson)]),
            ErrorStatus: error.Status);
    }

    private async Task<SupervisorReply> AnswerAsync(Socket socket, SupervisorRequest request)
    {
        TimeSpan? time = request.Milliseconds is { } ms ? TimeSpan.FromMilliseconds(ms) : null;
        try
        {
            switch (request.Operation)
            {
                case "checkpoint":
                    using (CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token))
                    {
                        // Who no longer waits for a checkpoint called it off: a read ends when the other end closes.
                        _ = WatchAsync(socket, gone);
                        return new SupervisorReply(Checkpoint: await _control.CheckpointAsync(
                            new CheckpointOrder(
                                request.EndAfterwards, time, request.Full, request.KeepConnectionsMilliseconds is { } keep ? TimeSpan.FromMilliseconds(keep) : null),
                            Progress(socket), gone.Token).ConfigureAwait(false));
                    }

                case "stop":
                    return new SupervisorReply(ExitStatus: await _control.StopAsync(time ?? _stopGrace, CancellationToken.None).ConfigureAwait(false));

                case "kill":
                    return new SupervisorReply(ExitStatus: await _control.KillAsync(CancellationToken.None).ConfigureAwait(false));

                case "loading":
                    return new SupervisorReply(Loading: await _control.LoadingAsync(CancellationToken.None).ConfigureAwait(false));

                case "policy" when request.Policy is { } order:
                    return new SupervisorReply(Policy: await _control.PolicyAsync(order, CancellationToken.None).ConfigureAwait(false));

                default:
                    return Refusal("protocol", $"'{request.Operation}' is unknown to this supervisor; it may be an older holdfast", ExitStatus.Failed);
            }
        }
        catch (Exception e)
        {
            return Failure(e);
        }
    }

    private static async Task WatchAsync(Socket socket, CancellationTokenSource gone)
    {
        try
        {
            try
            {
                await Frames.ReceiveAsync(socket, ProtocolJson.Default.SupervisorRequest, gone.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or JsonException)
            {
                // As good as closed.
            }

            await gone.CancelAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // The answer was sent.
        }
    }

    /// <summary>
    /// Tells of progress, once it has taken long enough to be shown: before that, the other end would be woken up while the application stands, and take the processors that
    /// it waits for.
    /// </summary>
    private static Action<string, long> Progress(Socket socket)
    {
        long began = TimeProvider.System.GetTimestamp();
        return (phase, bytes) =>
        {
            if (TimeProvider.System.GetElapsedTime(began) >= ProgressLine.Patience)
            {
                SendProgress(socket, phase, bytes);
            }
        };
    }

    // Progress may be lost: a peer that does not read must not hold up the supervisor, and frames must not be torn.
    private static void SendProgress(Socket socket, string phase, long bytes)
    {
        try
        {
            if (socket.Poll(0, SelectMode.SelectWrite))
            {
                Frames.SendAsync(socket, new SupervisorReply(phase, bytes), ProtocolJson.Default.SupervisorReply).GetAwaiter().GetResult();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It went away.
        }
    }

    private static SupervisorReply Refusal(string code, string message, int status) =>
        new(Error: new ErrorJson(code, message, null, null), ErrorStatus: status);

    private static Task SendAsync(Socket socket, SupervisorReply reply) => Frames.SendAsync(socket, reply, ProtocolJson.Default.SupervisorReply);
}
