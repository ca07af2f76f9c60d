using System.Diagnostics;
using System.Text.Json.Serialization;
using Holdfast.KernelBridge;

namespace Holdfast.Kmod.Bench;

/// <summary>What one checkpoint took.</summary>
internal sealed record Measured(
    string Case, string Bridge, long SystemCalls, long WithoutWaiting, long SystemCallsInFreeze, long Stops, long Bytes, double FreezeMilliseconds, double Milliseconds, IReadOnlyDictionary<int, long> Calls);

/// <summary>How that is written.</summary>
[JsonSerializable(typeof(List<Measured>))]
internal sealed partial class MeasuredJson : JsonSerializerContext;

/// <summary>Takes checkpoints through the contract, as a coordinator does, and keeps nothing of them.</summary>
internal static class Checkpoints
{
    private static readonly TimeSpan deadline = TimeSpan.FromMinutes(2);

    /// <summary>Takes one, and has the kernel count.</summary>
    public static Measured Measure(IKernelBridge bridge, ApplicationTarget target, string name)
    {
        (long Bytes, TimeSpan Freeze) taken = default;

        // What the one before has left is not this one's to collect.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long start = Stopwatch.GetTimestamp();
        KernelCounts counts = KernelCounts.Of(() => taken = Take(bridge, target));
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        KernelCounts? freeze = null;
        _ = Take(bridge, target, inFreeze => freeze = KernelCounts.Of(inFreeze));
        return new Measured(
            name, bridge.Name, counts.SystemCalls, counts.WithoutWaiting, freeze!.SystemCalls, counts.Stops, counts.BytesRead + (bridge.Name == "device" ? taken.Bytes : 0), taken.Freeze.TotalMilliseconds, milliseconds, counts.Calls);
    }

    /// <summary>Takes one.</summary>
    /// <param name="bridge">The bridge.</param>
    /// <param name="target">The application.</param>
    /// <param name="around">Called with what is done from the freeze to the last resume.</param>
    /// <returns>Bytes of memory, and how long the application stood.</returns>
    public static (long Bytes, TimeSpan Freeze) Take(IKernelBridge bridge, ApplicationTarget target, Action<Action>? around = null)
    {
        using ICheckpoint checkpoint = bridge.BeginCheckpoint(target);
        Dictionary<int, IProcessCheckpoint> processes = [];
        DiscardingSink sink = new();
        PageCounts counts = default;
        try
        {
            foreach (int pid in checkpoint.FindProcesses())
            {
                processes[pid] = checkpoint.Open(pid);
                Refuse(processes[pid].Prepare());
            }

            Action standing = () => counts = Capture(checkpoint, processes, sink);
            if (around is null)
            {
                standing();
            }
            else
            {
                around(standing);
            }

            foreach (IProcessCheckpoint process in processes.Values)
            {
                counts += process.PumpPages(sink);
            }

            return (counts.BytesScanned, checkpoint.FreezeTime);
        }
        finally
        {
            foreach (IProcessCheckpoint process in processes.Values)
            {
                process.Dispose();
            }
        }
    }

    private static PageCounts Capture(ICheckpoint checkpoint, Dictionary<int, IProcessCheckpoint> processes, DiscardingSink sink)
    {
        checkpoint.Freeze(deadline);
        foreach (IProcessCheckpoint process in processes.Values)
        {
            process.Stop(deadline);
        }

        checkpoint.Thaw();
        List<ProcessFacts> facts = [.. processes.Values.Select(process => process.Locate())];
        Refuse([.. facts.SelectMany(fact => fact.Refusals), .. checkpoint.Locate(facts)]);
        ApplicationImage image = checkpoint.Assemble([.. processes.Values.Select(process => process.CaptureState())]);
        PageCounts counts = checkpoint.PumpShared(sink);
        foreach ((int pid, IProcessCheckpoint process) in processes.ToList())
        {
            if (!process.KeepMemory(sink))
            {
                counts += process.PumpPages(sink);
                process.Resume();
                process.Dispose();
                processes.Remove(pid);
                continue;
            }

            process.Resume();
        }

        _ = image.Encode();
        return counts;
    }

    private static void Refuse(IReadOnlyList<Refusal> refusals)
    {
        if (refusals.Count > 0)
        {
            throw new BridgeException(refusals);
        }
    }
}
