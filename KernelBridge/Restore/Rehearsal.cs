using System.Diagnostics;

namespace Holdfast.KernelBridge;

/// <summary>What a rehearsal built.</summary>
/// <param name="Processes">Processes, zombies included.</param>
/// <param name="Threads">Threads of all of them.</param>
/// <param name="TotalTime">From the first check to the last comparison; what it takes to remove everything again is not in it.</param>
public sealed record RehearsalReport(int Processes, int Threads, TimeSpan TotalTime);

/// <summary>
/// A restore up to the moment before the application would run: everything is built, filled from the snapshot and compared with it, then removed.
/// </summary>
public static class Rehearsal
{
    /// <summary>Rehearses on the calling thread. The application must not be running: its files, names and ports are used.</summary>
    /// <param name="bridge">The bridge.</param>
    /// <param name="request">As for a restore, with <see cref="RestoreRequest.Rehearse"/>.</param>
    /// <exception cref="BridgeException">It could not be restored here: with the refusals, or with what failed. Nothing is left of it.</exception>
    public static RehearsalReport Run(IKernelBridge bridge, RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(bridge);
        ArgumentNullException.ThrowIfNull(request);
        if (!request.Rehearse)
        {
            throw new ArgumentException("The request is for a restore.", nameof(request));
        }

        long started = Stopwatch.GetTimestamp();
        using IRestore restore = bridge.BeginRestore(request);
        if (restore.Check() is { Count: > 0 } refusals)
        {
            throw new BridgeException(refusals);
        }

        restore.BuildProcesses();
        restore.BuildResources();
        restore.FillMemory();
        restore.BuildThreads();
        restore.Verify();
        return new RehearsalReport(restore.Image.Processes.Count, restore.Image.Processes.Sum(p => p.ThreadCount), Stopwatch.GetElapsedTime(started));
    }
}
