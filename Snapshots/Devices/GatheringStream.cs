using System.Net.Sockets;

namespace Holdfast.Snapshots;

/// <summary>
/// A connection that sends in the background, at once as much as has come together. What is above it (HTTP/2, TLS) writes frames of 16 KiB: by themselves each would take a call
/// of send(2) and a wake-up on the other side.
/// </summary>
internal sealed class GatheringStream : NetworkStream
{
    /// <summary>Bytes that may wait; as many again may be under way to the kernel.</summary>
    internal const int Size = 256 * 1024;

    /// <summary>What was written goes out before the connection is closed, if it goes within that time.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(1);

    private readonly object _gate = new();
    private readonly Thread _sender;
    private byte[] _filling = GC.AllocateUninitializedArray<byte>(Size);
    private byte[] _sending = GC.AllocateUninitializedArray<byte>(Size);
    private int _filled;
    private bool _closing;
    private Exception? _failure;
    private TaskCompletionSource? _room;

    /// <param name="socket">Connected; closed with the stream.</param>
    internal GatheringStream(Socket socket)
        : base(socket, ownsSocket: true)
    {
        _sender = new Thread(Send) { IsBackground = true, Name = "sender" };
        _sender.Start();
    }

    /// <inheritdoc/>
    /// <exception cref="IOException">The connection is broken: of what was written before, some may not have been sent.</exception>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Task room;
            lock (_gate)
            {
                if (_failure is not null)
                {
                    throw new IOException(_failure.Message, _failure);
                }

                int count = Math.Min(buffer.Length, Size - _filled);
                buffer.Span[..count].CopyTo(_filling.AsSpan(_filled));
                if (_filled == 0)
                {
                    Monitor.Pulse(_gate);
                }

                _filled += count;
                buffer = buffer[count..];
                if (buffer.IsEmpty)
                {
                    return;
                }

                room = (_room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            await room.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer) => WriteAsync(buffer.ToArray()).AsTask().GetAwaiter().GetResult();

    private void Send()
    {
        try
        {
            while (Next() is var length and > 0)
            {
                for (int sent = 0; sent < length;)
                {
                    sent += Socket.Send(_sending, sent, length - sent, SocketFlags.None);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            lock (_gate)
            {
                _failure = e;
                _room?.TrySetResult();
                _room = null;
            }
        }
    }

    /// <summary>Waits for something to send, and takes it. 0: nothing comes any more.</summary>
    private int Next()
    {
        lock (_gate)
        {
            while (_filled == 0 && !_closing)
            {
                Monitor.Wait(_gate);
            }

            int length = _filled;
            _filled = 0;
            (_filling, _sending) = (_sending, _filling);
            _room?.TrySetResult();
            _room = null;
            return length;
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            lock (_gate)
            {
                _closing = true;
                Monitor.Pulse(_gate);
            }

            _sender.Join(Farewell);
        }

        base.Dispose(disposing);
    }
}
