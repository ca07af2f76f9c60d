using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.CharDevice;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// A restore through ptrace: a stub becomes the application's first process by system calls that are made inside it, and makes the others.
/// All stubs carry PTRACE_O_EXITKILL until they run, so that a builder that dies leaves nothing.
/// </summary>
internal sealed partial class PtraceRestore : IRestore
{
    private readonly RestoreRequest request;
    private readonly RestoreChecks checks;
    private readonly WorkArea area;
    private readonly BuildPlan plan;
    private readonly Lazy<byte[]> ownVdso = new(OwnVdso);
    private readonly RestoreContext context;
    private readonly Dictionary<int, Stub> stubs = [];

    // Socket files that were not there before: they go again unless the application runs.
    private readonly List<string> madeFiles = [];
    private readonly CkptSession? rings;
    private readonly KeptConnections? kept;
    private SpaceHandle? space;
    private StubHandle? tree;
    private long clocksBegan;
    private bool released;

    public PtraceRestore(RestoreRequest request)
    {
        this.request = request;
        Image = ApplicationImage.Decode(request.Image.Span);
        kept = request.KeptConnections is { } path && File.Exists(path) ? KeptConnections.TryTake(path) : null;
        rings = OpenRingKeeper(Image);
        checks = new RestoreChecks(Image, request.Files, request.Volumes, request.Rehearse) { Rings = rings, KeptSockets = [.. kept?.Sockets.Keys ?? []] };
        context = new RestoreContext(Image);
        area = WorkArea.Find(Image);
        plan = ProcessTrees.Plan(
            Image.Processes.Select(process => new ProcessNode(process.Pid, process.ParentPid, process.ProcessGroup, process.Session, process.ZombieStatus is not null) { Nested = process.Nested }),
            Image.Scope);
    }

    public ApplicationImage Image { get; }

    public int ConnectionsKept => kept?.Count ?? 0;

    private IEnumerable<ProcessImage> Living => Image.Processes.Where(process => process.ZombieStatus is null);

    public IReadOnlyList<Refusal> Check()
    {
        List<Refusal> refusals = [.. plan.Refusals];
        refusals.AddRange(CheckRights());
        refusals.AddRange(CheckLazy());

        string[] lacking = [.. Image.Host.CpuFlags.Except(HostFacts.CpuFlags())];
        if (lacking.Length > 0)
        {
            refusals.Add(new Refusal("cpu.features", 0, null, "processor", $"it lacks {string.Join(", ", lacking)}", "restore on a host whose processor has them"));
        }

        refusals.AddRange(CheckVdso());
        refusals.AddRange(CheckFiles());
        foreach (ProcessImage process in Living)
        {
            if (PosixTimers.CheckRestore(process) is { } refused)
            {
                refusals.Add(refused);
            }
        }

        if (Image.Scope == ApplicationScope.Tree)
        {
            refusals.AddRange(CheckPids());
        }

        return refusals;
    }

    /// <summary>What of the image this process may not make.</summary>
    private IEnumerable<Refusal> CheckRights()
    {
        Authority own = Authority.Own;
        if (!own.Supervises)
        {
            yield return new Refusal(Capabilities.Missing, 0, null, "restore", $"missing {string.Join(", ", own.Missing)}", "run as root");
            yield break;
        }

        if (Image.Scope == ApplicationScope.Tree && own.IsOfNamespace)
        {
            yield return new Refusal(Capabilities.Missing, 0, null, "the host's pids", "an ordinary user cannot choose them", "run as root");
        }

        foreach (Refusal refusal in Living.SelectMany(process => (Refusal?[])[Credentials.CheckRestore(process), ResourceLimits.CheckRestore(process), Threads.CheckRestore(process), MemoryPolicies.CheckRestore(process), ProtectionKeys.CheckRestore(process)]).OfType<Refusal>())
        {
            yield return refusal;
        }

        foreach (Refusal refusal in HugePages.CheckRestore(Image, request.Pages).Concat(AioContexts.CheckRestore(Living)).Concat(NetworkInterfaces.CheckRestore(Image.Interfaces)))
        {
            yield return refusal;
        }

        if (!own.IsOfHost && Living.FirstOrDefault(HasFilters) is { } filtered)
        {
            yield return new Refusal(SeccompFilters.Rights, filtered.Pid, null, "seccomp", SeccompFilters.WithoutRights, "restore as root");
        }

        if (Image.Isolated?.Contains("net") != true && !own.RepairsConnections
            && Image.OpenFiles.OfType<SocketImage>().FirstOrDefault(socket => socket.IsTcp && !checks.KeptSockets.Contains(socket.Id) && TcpSockets.NeedsRepair(socket.State)) is { } tcp)
        {
            yield return new Refusal(TcpSockets.Rights, 0, null, tcp.Description, TcpSockets.WithoutRights, TcpSockets.RightsRemedy);
        }
    }

    public IReadOnlyList<Refusal> CheckVolumes()
    {
        checks.VolumesAreBack = true;
        return CheckFiles();
    }

    private List<Refusal> CheckFiles()
    {
        List<Refusal> refusals = [];
        foreach (OpenFileImage file in Image.OpenFiles)
        {
            refusals.AddRange(file.CheckRestore(checks));
        }

        foreach (MappedFileImage mapped in Image.MappedFiles)
        {
            refusals.AddRange(mapped.Deleted ? checks.GhostDirectory(mapped.Path) : checks.File(mapped.Path, mapped.Identity, mustBeUnchanged: true, mapped.Writable));
            refusals.AddRange(mapped.Digest is { } digest ? checks.Contents(mapped.Path, digest) : []);
        }

        foreach (ProcessImage process in Living)
        {
            refusals.AddRange(checks.Exists(process.Directories.Root, FileIdentity.DirectoryType));
            // What a /proc of its own will hold is not there yet.
            bool own = process.MountNamespace != 0 && process.Directories.Working.StartsWith("/proc/", StringComparison.Ordinal);
            refusals.AddRange(own ? [] : checks.Exists(process.Directories.Working, FileIdentity.DirectoryType));
        }

        return refusals;
    }

    public void Dispose()
    {
        if (!released)
        {
            foreach (Stub stub in stubs.Values)
            {
                _ = Libc.kill(stub.HostPid, Libc.SIGKILL);
            }

            ReapAll();
            madeFiles.ForEach(File.Delete);
        }

        foreach (Stub stub in stubs.Values)
        {
            stub.Dispose();
        }

        sockets?.Dispose();
        rings?.Dispose();
        lacking.ForEach(process => process.UserFault.Dispose());
        kept?.Dispose();
        space?.Dispose();
        tree?.Dispose();
    }

    /// <summary>A number that is taken, once a process that was killed had time to end, and its parent, perhaps an init in no hurry, to reap it.</summary>
    private IEnumerable<Refusal> CheckPids()
    {
        const int ToEnd = 2000, ToBeReaped = 10_000;
        long begun = Environment.TickCount64;
        List<int> wanted = [.. Image.Processes.Select(process => process.Pid).Concat(Living.SelectMany(process => process.Threads.Select(thread => thread.Tid))).Distinct()];
        while (wanted.FindAll(pid => Directory.Exists($"/proc/{pid}")) is { Count: > 0 } taken
            && Environment.TickCount64 - begun < (taken.TrueForAll(pid => ProcessStat.TryRead(pid)?.IsEnding ?? true) ? ToBeReaped : ToEnd))
        {
            Thread.Sleep(20);
        }

        foreach (int pid in wanted.Where(pid => Directory.Exists($"/proc/{pid}")))
        {
            yield return new Refusal(
                "pid.taken", pid, null, $"pid {pid}", $"it is in use by '{ProcessStat.TryRead(pid)?.Name}'", "end that process, or run the application in a space of its own next time");
        }
    }

    private IEnumerable<Refusal> CheckVdso()
    {
        if (Image.Host.Vdso.Length == 0)
        {
            yield break;
        }

        if (!VdsoIsForeign)
        {
            yield break;
        }

        string? problem = null;
        try
        {
            _ = ForeignVdso.PassOn(Image.Host.Vdso, ownVdso.Value, 0);
        }
        catch (FormatException e)
        {
            problem = e.Message;
        }

        if (problem is not null)
        {
            yield return new Refusal(
                "kernel.vdso", 0, null, "vDSO", $"that of the kernel of the snapshot ({Image.Host.KernelRelease}) cannot be passed on: {problem}", "restore under the same kernel");
        }

        foreach (ProcessImage process in Living)
        {
            AreaImage? code = process.Memory!.Areas.FirstOrDefault(area => area.Name == "[vdso]");
            foreach (ThreadImage thread in process.Threads.Where(thread => code is not null
                && MemoryMarshal.Read<UserRegisters>(thread.Registers).Rip is var at && at >= code.Start && at < code.End))
            {
                yield return new Refusal(
                    "kernel.vdso", process.Pid, null, $"thread {thread.Tid}", $"it stands inside the vDSO of the kernel of the snapshot ({Image.Host.KernelRelease})",
                    "restore another snapshot, or restore under the same kernel");
            }
        }
    }

    /// <summary>Whether the snapshot's kernel had another vDSO than this one's.</summary>
    private bool VdsoIsForeign => !ownVdso.Value.AsSpan().SequenceEqual(Image.Host.Vdso);

    private static byte[] OwnVdso()
    {
        if (MemoryMap.Read(Environment.ProcessId).FirstOrDefault(map => map.Name == "[vdso]") is not { } map)
        {
            return [];
        }

        using TargetMemory memory = new(Environment.ProcessId);
        byte[] code = new byte[map.Length];
        memory.Read(map.Start, code);
        return code;
    }

    private void ReapAll()
    {
        // All of them in turn: the init of a pid namespace ends when all others in it have been collected.
        long deadline = Environment.TickCount64 + 5000;
        List<Stub> left = [.. stubs.Values.Where(stub => !stub.Thread.Gone)];
        while (left.Count > 0 && Environment.TickCount64 < deadline)
        {
            left = left.FindAll(stub =>
            {
                // A process has not ended before its tracer has collected its other threads.
                foreach (int thread in ProcFs.Numbers($"/proc/{stub.HostPid}/task").Where(thread => thread != stub.HostPid))
                {
                    _ = Collect(thread);
                }

                return Collect(stub.HostPid) >= 0;
            });
            _ = left.Count > 0 ? Libc.usleep(200) : 0;
        }
    }

    private static unsafe int Collect(int pid)
    {
        int status;
        int result = Libc.waitpid(pid, &status, Libc.WNOHANG | Libc.WALL);
        return result > 0 && !new WaitStatus(status).Ended ? 0 : result > 0 ? -1 : result;
    }
}
