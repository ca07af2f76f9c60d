using System.Diagnostics;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>
/// A checkpoint of an application through /dev/ckpt. All of it stands by the freezer, from <see cref="Freeze"/> until its last process is resumed: it has one freeze, and
/// that ends with the session, however this process dies. No process is traced, and nothing runs in one.
/// </summary>
internal sealed class DeviceCheckpoint(ApplicationTarget target, long holdUpTo) : ApplicationCheckpoint(target, holdUpTo)
{
    private static readonly TimeSpan attempt = TimeSpan.FromMilliseconds(400);

    private readonly Lock gate = new();
    private readonly HashSet<int> members = [];
    private readonly ProcSnapshot files = new();
    private readonly CkptSession session = CharDeviceBridge.Open();
    private bool frozen;
    private int standing;
    private IReadOnlyList<int> found = [];
    private ProcSnapshot? lookedAt;
    private bool released;

    /// <summary>The session.</summary>
    public CkptSession Session => session;

    public override IProcessCheckpoint Open(int pid) => new DeviceProcess(this, pid);

    public override void Freeze(TimeSpan deadline)
    {
        if (frozen)
        {
            return;
        }

        string group = Target.CgroupPath ?? throw new BridgeException([.. Refusals()]);
        long start = Stopwatch.GetTimestamp();
        JoinAll();
        NoteStop();
        string late = "a thread";
        for (int pause = 1; ;)
        {
            TimeSpan left = deadline - Stopwatch.GetElapsedTime(start);
            if (left <= TimeSpan.Zero)
            {
                throw new BridgeException(
                    "freeze.timeout", "freezing the application", $"{late} did not stand within {deadline.TotalSeconds:0.#} s",
                    "it may wait for a child of vfork or for a slow device: try again, or give a longer --timeout");
            }

            // A parent that waits for its vfork child cannot be caught while the child, frozen too, cannot go on.
            frozen = session.TryFreeze(group, left < attempt ? left : attempt, CkptAbi.FreezeNoVfork, out string who) is not null;
            if (frozen)
            {
                return;
            }

            late = who;
            Thread.Sleep(pause);
            pause = Math.Min(100, pause * 2);
        }
    }

    /// <summary>Takes a process into the session, if it is not in it.</summary>
    /// <returns>False when it has ended.</returns>
    public bool Join(int pid)
    {
        lock (gate)
        {
            return members.Contains(pid) || (session.TryAttach(pid, follow: true) && members.Add(pid));
        }
    }

    /// <summary>Adds what was read of a process to what is known when all of them are looked at.</summary>
    public void Add(ProcSnapshot process)
    {
        lock (gate)
        {
            files.Add(process);
        }
    }

    public override IReadOnlyList<Refusal> Locate(IReadOnlyList<ProcessFacts> processes)
    {
        using IDisposable ahead = files.Use();
        ReadShared();
        return base.Locate(processes);
    }

    public override ApplicationImage Assemble(IReadOnlyList<ProcessImage> processes)
    {
        using IDisposable ahead = files.Use();
        return base.Assemble(processes);
    }

    /// <summary>Processes that are stopped one by one stay stopped: with this freezer that is all of them, so that they are let go with the last one.</summary>
    public override void Thaw()
    {
        lock (gate)
        {
            released = true;
            ThawWhenDone();
        }
    }

    /// <summary>A process wants the application to stand.</summary>
    public void NoteStanding()
    {
        lock (gate)
        {
            standing++;
        }
    }

    /// <summary>A process may go on.</summary>
    public void NoteDone()
    {
        lock (gate)
        {
            standing--;
            ThawWhenDone();
        }
    }

    public override void Dispose()
    {
        session.Dispose();
        base.Dispose();
    }

    protected override void Adapt(IReadOnlyList<ProcessInspection> inspections, List<Refusal> refusals) =>
        DeviceLimits.Adapt(Target, inspections, refusals, session, stands: true);

    protected override void Visit()
    {
        using IDisposable? ahead = lookedAt?.Use();
        _ = Reference;
        base.Visit();
    }

    protected override IReadOnlyList<int> Find()
    {
        lookedAt = null;
        return found = ApplicationProcesses.Find(Target, ReadAhead);
    }

    /// <summary>What processes are, and their children; with them of all that were found before, which most of the time are all that there are.</summary>
    private ProcSnapshot ReadAhead(IReadOnlyList<int> pids, bool anew)
    {
        if (anew)
        {
            return ReadKin(pids);
        }

        if (lookedAt is null || !pids.All(pid => Threads(lookedAt, pid).Count > 0))
        {
            lookedAt = ReadKin(lookedAt is null ? [.. pids.Union(found)] : pids);
        }

        return lookedAt;
    }

    private ProcSnapshot ReadKin(IReadOnlyList<int> pids)
    {
        // With the process whose namespaces are the application's, into which somebody is sent.
        string[] root = [$"f/proc/{Target.RootPid}/status", .. ((string[])["ipc", "uts"]).SelectMany(kind => (string[])[$"l/proc/{Target.RootPid}/ns/{kind}", $"l/proc/self/ns/{kind}"])];
        ProcSnapshot snapshot = new();
        DeviceFiles.ReadAll(session, snapshot, [.. pids.SelectMany(pid => (string[])[$"f/proc/{pid}/stat", $"n/proc/{pid}/task", $"f/proc/{pid}/task/{pid}/children"]), .. root]);
        DeviceFiles.ReadAll(session, snapshot, [.. pids.SelectMany(pid => Threads(snapshot, pid).Where(tid => tid != pid).Select(tid => $"f/proc/{pid}/task/{tid}/children"))]);
        return snapshot;
    }

    private static IReadOnlyList<int> Threads(ProcSnapshot snapshot, int pid) => snapshot.Numbers($"/proc/{pid}/task");

    /// <summary>What belongs to no process: the objects of its IPC namespace, which whoever asks has to be in, and mounts.</summary>
    private void ReadShared()
    {
        string[] names =
        [
            "f/proc/sysvipc/shm", "f/proc/sysvipc/sem", "f/proc/sysvipc/msg", .. SystemVImage.SettingNames.Select(name => "f" + SystemVImage.PathOf(name)),
            $"f/proc/{Target.RootPid}/mountinfo", $"s/proc/{Target.RootPid}/root/dev/pts", $"s/proc/{Target.RootPid}/root{SharedMemoryDirectory.Place}",
        ];
        if (!IpcNamespace.HasOwn(Target.RootPid))
        {
            DeviceFiles.ReadAll(session, files, names);
            return;
        }

        files.Keep(IpcNamespace.Ask(Target.RootPid, () =>
        {
            DeviceFiles.ReadAll(session, files, names);
            return Resources.PosixQueues.List();
        }));
    }

    private void ThawWhenDone()
    {
        if (!released || standing > 0 || !frozen)
        {
            return;
        }

        session.Thaw();
        frozen = false;
        released = false;
        NoteResume();
    }

    /// <summary>Children of who is in the session are in it too: it is enough to look again until nobody new is found.</summary>
    private void JoinAll()
    {
        for (bool more = true; more;)
        {
            more = false;
            foreach (int pid in FindProcesses())
            {
                more |= members.Add(pid) && session.TryAttach(pid, follow: true);
            }
        }
    }

    private IEnumerable<Refusal> Refusals()
    {
        List<Refusal> refusals = [];
        DeviceLimits.Adapt(Target, [], refusals, session, stands: false);
        return refusals;
    }
}
