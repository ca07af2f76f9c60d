using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A piece of memory on its way to the sink.</summary>
/// <param name="Bytes">An array of the relay.</param>
/// <param name="Length">How many of them.</param>
/// <param name="Offset">Where they belong.</param>
/// <param name="Stream">The stream that they belong to.</param>
/// <param name="KeepZeros">Pages of zeros are stored too.</param>
internal readonly record struct PagePiece(byte[] Bytes, int Length, long Offset, string Stream, bool KeepZeros);

/// <summary>
/// A thread beside the one that reads memory, which hands what was read to the sink, in the same order. There are <see cref="Pieces"/> buffers,
/// so a sink that is slow holds the reader up.
/// </summary>
internal sealed class PageRelay : IDisposable
{
    /// <summary>One being read, one being written, one in between.</summary>
    private const int Pieces = 3;

    private readonly IPageSink sink;
    // Guards all below, and is told of each change: whoever waits sleeps, and leaves his processor to the other and to the application.
    private readonly object gate = new();
    private readonly Queue<PagePiece> pieces = new();
    private readonly Stack<byte[]> buffers = new();
    private readonly Thread thread;
    private PageCounts counts;
    private Exception? failure;
    private bool ended;

    /// <summary>Starts the thread.</summary>
    public PageRelay(IPageSink sink, int pieceSize)
    {
        this.sink = sink;
        for (int i = 0; i < Pieces; i++)
        {
            buffers.Push(LargeArrays<byte>.Pool.Rent(pieceSize));
        }

        thread = new Thread(Run) { IsBackground = true, Name = "page relay" };
        thread.Start();
    }

    /// <summary>A buffer to read into; waits for one.</summary>
    public byte[] Take()
    {
        lock (gate)
        {
            while (buffers.Count == 0)
            {
                Monitor.Wait(gate);
            }

            return buffers.Pop();
        }
    }

    /// <summary>Gives a buffer back that was not filled.</summary>
    public void Return(byte[] buffer)
    {
        lock (gate)
        {
            buffers.Push(buffer);
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Hands a filled buffer on.</summary>
    public void Post(in PagePiece piece)
    {
        lock (gate)
        {
            pieces.Enqueue(piece);
            Monitor.PulseAll(gate);
        }

        if (Volatile.Read(ref failure) is not null)
        {
            Complete();
        }
    }

    /// <summary>Waits until the sink has everything, and ends the thread.</summary>
    /// <returns>What it was given.</returns>
    /// <remarks>What the sink threw is thrown here as it was: its type decides how the checkpoint fails.</remarks>
    public PageCounts Complete()
    {
        End();
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        return counts;
    }

    /// <summary>Ends the thread; what was posted still goes to the sink, unless it failed before.</summary>
    public void Dispose()
    {
        End();
        while (buffers.TryPop(out byte[]? buffer))
        {
            LargeArrays<byte>.Pool.Return(buffer);
        }
    }

    private void End()
    {
        lock (gate)
        {
            ended = true;
            Monitor.PulseAll(gate);
        }

        thread.Join();
    }

    private void Run()
    {
        while (true)
        {
            PagePiece piece;
            lock (gate)
            {
                while (pieces.Count == 0 && !ended)
                {
                    Monitor.Wait(gate);
                }

                if (!pieces.TryDequeue(out piece))
                {
                    return;
                }
            }

            try
            {
                if (failure is null)
                {
                    counts += PagePump.WriteNonZero(piece.Bytes.AsSpan(0, piece.Length), piece.Offset, piece.Stream, sink, piece.KeepZeros);
                }
            }
            catch (Exception e)
            {
                Volatile.Write(ref failure, e);
            }

            Return(piece.Bytes);
        }
    }
}
