using System.Runtime.ExceptionServices;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>A snapshot as the suite keeps it.</summary>
public sealed record Taken(byte[] Image, MemoryPages Pages)
{
    /// <summary>What was pumped.</summary>
    public PageCounts Counts { get; init; }

    public ApplicationImage Decode() => ApplicationImage.Decode(Image);
}

/// <summary>Drives a bridge through its contract, all of it on one OS thread, as a coordinator does.</summary>
public static class Driver
{
    private static readonly TimeSpan Deadline = Spaces.SpaceFixture.Patience / 3;

    /// <summary>Takes a checkpoint; refusals become a <see cref="BridgeException"/>.</summary>
    /// <param name="bridge">The bridge.</param>
    /// <param name="target">The application.</param>
    /// <param name="kill">Kills every process while it stands, so that nothing runs after the capture.</param>
    /// <param name="standing">Called while all stand, before anything is captured.</param>
    /// <param name="prepared">Called before anything stops.</param>
    /// <param name="resumed">Called when all run again, before what was kept of their memory is pumped.</param>
    public static Taken Checkpoint(IKernelBridge bridge, ApplicationTarget target, bool kill = false, Action? standing = null, Action? resumed = null, Action? prepared = null) =>
        Checkpoint(bridge, target, new MemoryPages(), WriteTracking.Off, kill, standing, resumed, prepared);

    /// <summary>The processes of an application, as a checkpoint finds them.</summary>
    public static IReadOnlyList<int> Processes(IKernelBridge bridge, ApplicationTarget target)
    {
        using ICheckpoint checkpoint = bridge.BeginCheckpoint(target);
        return checkpoint.FindProcesses();
    }

    /// <summary>Takes a checkpoint that may keep something of an earlier one.</summary>
    /// <param name="bridge">The bridge.</param>
    /// <param name="target">The application.</param>
    /// <param name="pages">Where pages go.</param>
    /// <param name="tracking">Whether writes are tracked.</param>
    /// <param name="kill">Kills every process while it stands, so that nothing runs after the capture.</param>
    /// <param name="standing">Called while all stand, before anything is captured.</param>
    /// <param name="resumed">Called when all run again, before what was kept of their memory is pumped.</param>
    /// <param name="prepared">Called before anything stops.</param>
    /// <param name="commits">Whether it becomes what later ones may keep something of.</param>
    /// <param name="passed">Called at the end of "prepare", "quiesce", "locate", "capture" and "resume".</param>
    public static Taken Checkpoint(
        IKernelBridge bridge, ApplicationTarget target, MemoryPages pages, WriteTracking tracking, bool kill = false, Action? standing = null, Action? resumed = null, Action? prepared = null,
        bool commits = true, Action<string>? passed = null) => OnThread(() =>
    {
        using ICheckpoint checkpoint = bridge.BeginCheckpoint(target, tracking);
        Dictionary<int, IProcessCheckpoint> processes = [];
        try
        {
            foreach (int pid in checkpoint.FindProcesses())
            {
                processes[pid] = checkpoint.Open(pid);
            }

            List<Refusal> refusals = [];
            foreach (int pid in processes.Keys.ToList())
            {
                Unless(processes, pid, process => refusals.AddRange(process.Prepare()));
            }

            Refuse(refusals);
            prepared?.Invoke();
            passed?.Invoke("prepare");
            checkpoint.Freeze(Deadline);
            HashSet<int> stand = [];
            while (true)
            {
                IReadOnlyList<int> pids = checkpoint.FindProcesses();
                if (pids.All(stand.Contains))
                {
                    foreach (int gone in processes.Keys.Except(pids).ToList())
                    {
                        processes[gone].Dispose();
                        processes.Remove(gone);
                    }

                    break;
                }

                foreach (int pid in pids.Where(pid => !stand.Contains(pid)))
                {
                    if (!processes.ContainsKey(pid))
                    {
                        processes[pid] = checkpoint.Open(pid);
                    }

                    Unless(processes, pid, process => process.Stop(Deadline));
                    stand.Add(pid);
                }
            }

            checkpoint.Thaw();
            standing?.Invoke();
            passed?.Invoke("quiesce");
            List<ProcessFacts> facts = [.. processes.Values.Select(process => process.Locate())];
            Refuse([.. facts.SelectMany(fact => fact.Refusals), .. checkpoint.Locate(facts)]);
            passed?.Invoke("locate");
            ApplicationImage image = checkpoint.Assemble([.. processes.Values.Select(process => process.CaptureState())]);
            PageCounts counts = checkpoint.PumpShared(pages);
            passed?.Invoke("capture");
            HashSet<IProcessCheckpoint> pumped = [];
            foreach (IProcessCheckpoint process in processes.Values)
            {
                if (kill || !process.KeepMemory(pages))
                {
                    counts += process.PumpPages(pages);
                    pumped.Add(process);
                }

                if (!kill)
                {
                    process.Resume();
                }
            }

            resumed?.Invoke();
            passed?.Invoke("resume");
            foreach (IProcessCheckpoint process in processes.Values.Where(process => !pumped.Contains(process)))
            {
                counts += process.PumpPages(pages);
            }

            if (commits)
            {
                checkpoint.Committed(pages.Name);
            }

            foreach (int pid in processes.Keys.Where(_ => kill))
            {
                // One may have ended with another that was killed before it.
                _ = Libc.kill(pid, Libc.SIGKILL);
            }

            return new Taken(image.Encode(), pages) { Counts = counts };
        }
        finally
        {
            checkpoint.Thaw();
            foreach (IProcessCheckpoint process in processes.Values)
            {
                process.Dispose();
            }
        }
    });

    /// <summary>Restores; refusals become a <see cref="BridgeException"/>.</summary>
    public static IRunningApplication Restore(IKernelBridge bridge, Taken taken, string stateDirectory, IReadOnlyList<int> streams, ChangedFiles files = ChangedFiles.AsIs) =>
        OnThread(() =>
        {
            using IRestore restore = bridge.BeginRestore(new RestoreRequest
            {
                Name = "conformance", Image = taken.Image, Pages = taken.Pages, StateDirectory = stateDirectory, Detach = true, StandardStreams = streams, Files = files,
            });
            Refuse(restore.Check());
            restore.BuildProcesses();
            restore.BuildResources();
            restore.FillMemory();
            restore.BuildThreads();
            restore.Verify();
            IRunningApplication application = restore.Run();
            application.Keep();
            return application;
        });

    /// <summary>Runs something on an OS thread of its own, which ends with it: what it traces is let go at the latest then.</summary>
    public static T OnThread<T>(Func<T> body)
    {
        T result = default!;
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                result = body();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
        return result;
    }

    private static void Unless(Dictionary<int, IProcessCheckpoint> processes, int pid, Action<IProcessCheckpoint> step)
    {
        try
        {
            step(processes[pid]);
        }
        catch (BridgeException e) when (e.Code == "process.gone")
        {
            processes[pid].Dispose();
            processes.Remove(pid);
        }
    }

    private static void Refuse(IReadOnlyList<Refusal> refusals)
    {
        if (refusals.Count > 0)
        {
            throw new BridgeException(refusals);
        }
    }
}
