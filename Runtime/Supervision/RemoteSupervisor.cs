using System.Net.Sockets;
using System.Text.Json;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Protection;

namespace Holdfast.Runtime.Supervision;

/// <summary>The supervisor of an application in another process, over its socket.</summary>
internal sealed class RemoteSupervisor : IApplicationControl
{
    private readonly Socket _socket;
    private readonly string _name;

    private RemoteSupervisor(Socket socket, string name)
    {
        _socket = socket;
        _name = name;
    }

    /// <summary>Connects; null when nobody listens.</summary>
    public static RemoteSupervisor? TryConnect(string path, string name)
    {
        Socket socket = SupervisorSocket.New();
        try
        {
            SupervisorSocket.At(path, end =>
            {
                socket.Connect(end);
                return 0;
            });
        }
        catch (SocketException e)
        {
            socket.Dispose();
            return e.SocketErrorCode == SocketError.AccessDenied
                ? throw new HoldfastException("not_permitted", $"the supervisor of {name} belongs to another user", ExitStatus.NotPermitted, e)
                : null;
        }

        if (!SupervisorSocket.PeerIsTrusted(socket))
        {
            socket.Dispose();
            throw new HoldfastException("not_permitted", $"what listens at {path} belongs to another user", ExitStatus.NotPermitted);
        }

        return new RemoteSupervisor(socket, name);
    }

    public async Task<CheckpointJson> CheckpointAsync(CheckpointOrder order, Action<string, long>? progress, CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("checkpoint", order.EndAfterwards, order.Timeout?.TotalMilliseconds) { Full = order.Full, KeepConnectionsMilliseconds = order.KeepConnections?.TotalMilliseconds }, progress, cancellation).ConfigureAwait(false)).Checkpoint
        ?? throw Lost();

    public async Task<string> TakeLiveAsync(Action<string, long>? progress, CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("live"), progress, cancellation).ConfigureAwait(false)).Live ?? throw Lost();

    /// <summary>The supervisor lets it go when the connection is closed.</summary>
    public void ReleaseLive(string live) => _socket.Dispose();

    public async Task<int> StopAsync(TimeSpan grace, CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("stop", Milliseconds: grace.TotalMilliseconds), null, cancellation).ConfigureAwait(false)).ExitStatus ?? throw Lost();

    public async Task<int> KillAsync(CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("kill"), null, cancellation).ConfigureAwait(false)).ExitStatus ?? throw Lost();

    public async Task<LoadingJson?> LoadingAsync(CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("loading"), null, cancellation).ConfigureAwait(false)).Loading;

    public async Task<PolicyAnswer> PolicyAsync(PolicyOrder order, CancellationToken cancellation) =>
        (await AskAsync(new SupervisorRequest("policy", Policy: order), null, cancellation).ConfigureAwait(false)).Policy ?? throw Lost();

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<SupervisorReply> AskAsync(SupervisorRequest request, Action<string, long>? progress, CancellationToken cancellation)
    {
        try
        {
            // It waits before it asks: what .NET starts for that the first time, it would start while the application stands.
            Task<SupervisorReply?> next = Frames.ReceiveAsync(_socket, ProtocolJson.Default.SupervisorReply, cancellation);
            await Frames.SendAsync(_socket, request, ProtocolJson.Default.SupervisorRequest).ConfigureAwait(false);
            while (await next.ConfigureAwait(false) is { } reply)
            {
                if (reply.Phase is not null)
                {
                    progress?.Invoke(reply.Phase, reply.Bytes);
                    next = Frames.ReceiveAsync(_socket, ProtocolJson.Default.SupervisorReply, cancellation);
                    continue;
                }

                return reply.Error is { } error
                    ? throw new HoldfastException(error.Error, error.Message, reply.ErrorStatus)
                    {
                        Phase = error.Phase,
                        Refusals = [.. (error.Refusals ?? []).Select(r => new Refusal(r.Code, r.Pid, r.Fd, r.What, r.Why, r.Remedy))],
                    }
                    : reply;
            }
        }
        catch (Exception e) when (e is SocketException or JsonException)
        {
            throw Lost(e);
        }

        throw Lost();
    }

    private HoldfastException Lost(Exception? inner = null) => new(
        "supervisor.lost", $"the supervisor of {_name} went away before it answered; try again", ExitStatus.CannotConnect, inner);
}
