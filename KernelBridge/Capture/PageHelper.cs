using System.Runtime.ExceptionServices;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages side by side that are to be moved from memory to a sink.</summary>
/// <param name="Start">Address of the first.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Stream">The stream that they belong to.</param>
/// <param name="Sink">Takes them.</param>
/// <param name="KeepZeros">Pages of zeros are stored too.</param>
internal readonly record struct FoundPages(ulong Start, ulong Length, string Stream, IPageSink Sink, bool KeepZeros);

/// <summary>
/// A second thread that moves pages, beside the one that looks which there are. Each reads, looks at and writes what it moves by itself, as long as the bytes are in its processor's cache.
/// Whoever looks moves too, when much is waiting and when all has been found.
/// </summary>
internal sealed class PageHelper : IDisposable
{
    /// <summary>So many shares wait at most.</summary>
    private const int Most = 64;

    private readonly Func<List<FoundPages>, byte[], PageCounts> move;

    // Guards all below, and is told of each change that somebody waits for: whoever waits sleeps, and leaves his processor to the other and to the application.
    private readonly object gate = new();
    private readonly Queue<List<FoundPages>> waiting = new();
    private readonly Thread thread;
    private PageCounts counts;
    private Exception? failure;
    private bool ended;

    /// <summary>Starts the thread.</summary>
    /// <param name="pieceSize">Bytes of a buffer.</param>
    /// <param name="move">Moves a share through a buffer.</param>
    public PageHelper(int pieceSize, Func<List<FoundPages>, byte[], PageCounts> move)
    {
        this.move = move;
        thread = new Thread(() => Run(pieceSize)) { IsBackground = true, Name = "page helper" };
        thread.Start();
    }

    /// <summary>Leaves a share to whoever has time.</summary>
    /// <returns>One that the caller is to move himself, since enough wait; null for none.</returns>
    public List<FoundPages>? Add(List<FoundPages> share)
    {
        lock (gate)
        {
            Check();
            waiting.Enqueue(share);
            if (waiting.Count == 1)
            {
                Monitor.Pulse(gate);
            }

            return waiting.Count > Most ? waiting.Dequeue() : null;
        }
    }

    /// <summary>When all has been found: one more that the caller is to move himself; null when nothing waits any more.</summary>
    public List<FoundPages>? Next()
    {
        lock (gate)
        {
            Check();
            return waiting.TryDequeue(out List<FoundPages>? share) ? share : null;
        }
    }

    /// <summary>Waits until the thread has moved what it took, and ends it.</summary>
    /// <returns>What it moved.</returns>
    /// <remarks>What it met is thrown here as it was: its type decides how the checkpoint fails.</remarks>
    public PageCounts Complete()
    {
        End();
        lock (gate)
        {
            Check();
            return counts;
        }
    }

    /// <summary>Ends the thread; what waits is not moved.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            waiting.Clear();
        }

        End();
    }

    private void End()
    {
        lock (gate)
        {
            ended = true;
            Monitor.Pulse(gate);
        }

        thread.Join();
    }

    private void Check()
    {
        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    private void Run(int pieceSize)
    {
        byte[] buffer = LargeArrays<byte>.Pool.Rent(pieceSize);
        try
        {
            while (Await() is { } share)
            {
                counts += move(share, buffer);
            }
        }
        catch (Exception e)
        {
            lock (gate)
            {
                failure = e;
                waiting.Clear();
            }
        }
        finally
        {
            LargeArrays<byte>.Pool.Return(buffer);
        }
    }

    private List<FoundPages>? Await()
    {
        lock (gate)
        {
            while (waiting.Count == 0 && !ended)
            {
                Monitor.Wait(gate);
            }

            return waiting.TryDequeue(out List<FoundPages>? share) ? share : null;
        }
    }
}
