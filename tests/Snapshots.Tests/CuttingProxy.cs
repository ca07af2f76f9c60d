using System.Net;
using System.Net.Sockets;

namespace Holdfast.Snapshots.Tests;

/// <summary>Passes connections on and cuts each after a number of bytes, as long as there are cuts left.</summary>
internal sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<long> _next;
    private readonly int _target;
    private readonly Task _running;
    private int _cutsLeft;
    private long _fromClients;

    public CuttingProxy(int target, int cuts, Func<long> bytesUntilCut)
    {
        _target = target;
        _cutsLeft = cuts;
        _next = bytesUntilCut;
        _listener.Start();
        _running = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Bytes that came from clients, on all connections.</summary>
    public long BytesFromClients => Interlocked.Read(ref _fromClients);

    public int CutsLeft => Volatile.Read(ref _cutsLeft);

    private async Task AcceptAsync()
    {
        var passing = new List<Task>();
        try
        {
            while (true)
            {
                passing.Add(PassAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(passing);
        }
    }

    private async Task PassAsync(TcpClient client)
    {
        using TcpClient left = client;
        using var right = new TcpClient();
        try
        {
            await right.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
            long until = CutsLeft > 0 ? _next() : long.MaxValue;
            Task up = CopyAsync(left.GetStream(), right.GetStream(), until, count => Interlocked.Add(ref _fromClients, count));
            Task down = CopyAsync(right.GetStream(), left.GetStream(), long.MaxValue, _ => { });
            await Task.WhenAny(up, down);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            // The other side went first.
        }
    }

    private async Task CopyAsync(NetworkStream from, NetworkStream to, long until, Action<int> passing)
    {
        byte[] buffer = new byte[32 * 1024];
        try
        {
            for (long passed = 0; passed < until;)
            {
                int count = await from.ReadAsync(buffer, _stop.Token);
                if (count == 0)
                {
                    return;
                }

                passing(count);
                await to.WriteAsync(buffer.AsMemory(0, count), _stop.Token);
                passed += count;
            }

            Interlocked.Decrement(ref _cutsLeft);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Cut by the other direction.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _listener.Dispose();
        _stop.Dispose();
    }
}
