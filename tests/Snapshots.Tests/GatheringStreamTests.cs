using System.Net;
using System.Net.Sockets;

namespace Holdfast.Snapshots.Tests;

/// <summary>What is written arrives, in order; what cannot arrive is an error of a later write.</summary>
public sealed class GatheringStreamTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task Everything_arrives_in_order_also_what_is_written_before_it_is_closed()
    {
        (GatheringStream stream, Socket peer) = await ConnectAsync();
        byte[] bytes = new byte[5_000_000];
        Random.Shared.NextBytes(bytes);
        Task<byte[]> arriving = ReadToEndAsync(peer);
        for (int at = 0; at < bytes.Length;)
        {
            int count = Math.Min(bytes.Length - at, Random.Shared.Next(1, at % 3 == 0 ? 700_000 : 20_000));
            await stream.WriteAsync(bytes.AsMemory(at, count));
            at += count;
        }

        stream.Dispose();

        Assert.Equal(bytes, await arriving.WaitAsync(Patience));
    }

    [Fact]
    public async Task Who_writes_more_than_the_other_reads_waits_and_can_give_up()
    {
        (GatheringStream stream, Socket peer) = await ConnectAsync();
        using (peer)
        {
            using var stop = new CancellationTokenSource();
            Task writing = stream.WriteAsync(new byte[100_000_000], stop.Token).AsTask();
            Assert.NotSame(writing, await Task.WhenAny(writing, Task.Delay(300)));

            await stop.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing.WaitAsync(Patience));
        }

        stream.Dispose();
    }

    [Fact]
    public async Task A_connection_that_broke_is_an_error_of_a_later_write()
    {
        (GatheringStream stream, Socket peer) = await ConnectAsync();
        using (stream)
        {
            peer.Close(0);
            async Task WriteOnAsync()
            {
                while (true)
                {
                    await stream.WriteAsync(new byte[1000]);
                    await Task.Delay(1);
                }
            }

            await Assert.ThrowsAsync<IOException>(() => WriteOnAsync().WaitAsync(Patience));
        }
    }

    private static async Task<(GatheringStream Stream, Socket Peer)> ConnectAsync()
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        listener.Listen();
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(listener.LocalEndPoint!);
        return (new GatheringStream(socket), await listener.AcceptAsync());
    }

    private static async Task<byte[]> ReadToEndAsync(Socket socket)
    {
        using var all = new MemoryStream();
        using var stream = new NetworkStream(socket, ownsSocket: true);
        await stream.CopyToAsync(all);
        return all.ToArray();
    }
}
