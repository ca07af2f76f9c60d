using System.Runtime.InteropServices;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// No garbage is collected while processes stand: every thread of this process would wait for it, and the application with them. What they are looked at with is collected when they run
/// again. Only as much memory is set aside for it as <see cref="Most"/>: beyond that garbage is collected all the same. Where there is not as much to be had at once, nothing is collected to
/// get it: this may be somebody else's process, with a heap of any size.
/// </summary>
internal sealed class CollectionPause : IDisposable
{
    /// <summary>Bytes for a few: four times what one of a few areas takes.</summary>
    private const long Least = 2 << 20;

    /// <summary>Bytes for one process: what the facts about it, and its image, take.</summary>
    private const long ForProcess = 384 << 10;

    private const long Most = 48 << 20;

    /// <summary>Bytes for one process that are made present: what most of them take.</summary>
    private const long PresentForProcess = 192 << 10;

    /// <summary>Bytes. More than a thread is given at once to allocate from, so that this is taken from behind all that is in use, and what is allocated from then on lies behind it.</summary>
    private const int Probe = 16 << 10;

    private static int _paused;
    private bool _ended;

    private CollectionPause()
    {
    }

    /// <summary>Begins one.</summary>
    /// <param name="bridge">What makes memory present.</param>
    /// <param name="processes">How many processes are about to stand.</param>
    /// <returns>Null where there is not enough memory at hand, or another checkpoint has one.</returns>
    public static CollectionPause? Begin(IKernelBridge bridge, int processes)
    {
        if (Interlocked.Exchange(ref _paused, 1) != 0)
        {
            return null;
        }

        try
        {
            if (!GC.TryStartNoGCRegion(Math.Clamp(processes * ForProcess, Least, Most), disallowFullBlockingGC: true))
            {
                Volatile.Write(ref _paused, 0);
                return null;
            }
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentOutOfRangeException)
        {
            // Somebody else of this process has one, or the collector was configured with less memory.
            Volatile.Write(ref _paused, 0);
            return null;
        }

        MakePresent(bridge, Math.Min(Most, processes * PresentForProcess));
        return new CollectionPause();
    }

    /// <summary>Of memory that was collected much has gone back to the kernel, and would have to be asked for page by page while the processes stand.</summary>
    private static void MakePresent(IKernelBridge bridge, long bytes)
    {
        GCHandle probe = GCHandle.Alloc(GC.AllocateUninitializedArray<byte>(Probe), GCHandleType.Pinned);
        bridge.MakePresent(probe.AddrOfPinnedObject(), bytes);
        probe.Free();
    }

    public void Dispose()
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // It has ended already: more memory was needed.
        }

        Volatile.Write(ref _paused, 0);
    }
}
