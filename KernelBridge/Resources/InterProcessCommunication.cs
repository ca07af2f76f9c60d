using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Objects that live in an IPC namespace rather than in a process (sysvipc(7), mq_overview(7)). Those in a namespace of the application's own belong to it.
/// Those of the host's do not: an application that has used some of them is refused.
/// </summary>
internal static class InterProcessCommunication
{
    /// <summary>What of them cannot be captured.</summary>
    /// <param name="rootPid">A process whose namespaces all others share.</param>
    /// <param name="pids">All processes, as the host sees them.</param>
    public static IReadOnlyList<Refusal> Refusals(int rootPid, IReadOnlySet<int> pids)
    {
        try
        {
            return IpcNamespace.HasOwn(rootPid) ? IpcNamespace.Ask(rootPid, Own) : IpcNamespace.Ask(Environment.ProcessId, () => Used(pids));
        }
        catch (BridgeException e) when (e.Code == "rights.missing")
        {
            return [new Refusal(e.Code, 0, null, "IPC namespace", e.Message, "run as root or with CAP_SYS_ADMIN")];
        }
    }

    private static List<Refusal> Own() => [.. SystemVMemory.Refusals(), .. MessageQueues.Refusals(), .. PosixQueues.Refusals()];

    /// <summary>Objects of the host in which the number of a process of the application stands: as maker or as the last that used it.</summary>
    private static List<Refusal> Used(IReadOnlySet<int> pids)
    {
        List<Refusal> refusals = [];
        void Add(long id, string what, IEnumerable<long> users)
        {
            foreach (int user in users.Select(user => (int)user).Where(pids.Contains).Distinct())
            {
                refusals.Add(new Refusal(
                    "ipc.host", ProcessStatus.TryRead(user)?.Innermost("NSpid") ?? user, null, $"{what} {id}",
                    "it uses this object of the host's IPC namespace, which does not belong to the application alone", "start it with 'run', in an IPC namespace of its own"));
            }
        }

        foreach (long[] line in IpcNamespace.List("shm"))
        {
            Add(line[1], "System V shared memory", line[4..6]);
        }

        foreach (long[] line in IpcNamespace.List("msg"))
        {
            Add(line[1], "System V message queue", line[5..7]);
        }

        foreach (long[] line in IpcNamespace.List("sem"))
        {
            Add(line[1], "System V semaphore set", SemaphoreSets.LastUsers((int)line[1], (int)line[3]));
        }

        return refusals;
    }
}

/// <summary>What all objects of System V IPC have: <c>struct ipc_perm</c> of sysvipc(7).</summary>
/// <param name="Id">Identifier.</param>
/// <param name="Key">0 is IPC_PRIVATE.</param>
/// <param name="Mode">Nine bits of permissions.</param>
/// <param name="Owner">User id.</param>
/// <param name="Group">Group id.</param>
/// <param name="Maker">User id of the process that made it.</param>
/// <param name="MakerGroup">Its group id.</param>
internal sealed record IpcPermissions(int Id, int Key, int Mode, uint Owner, uint Group, uint Maker, uint MakerGroup)
{
    /// <summary>Out of a line of /proc/sysvipc.</summary>
    /// <param name="line">The line.</param>
    /// <param name="owners">Where in it uid, gid, cuid and cgid begin.</param>
    public static IpcPermissions Of(long[] line, int owners) =>
        new((int)line[1], (int)line[0], (int)line[2] & 0x1ff, (uint)line[owners], (uint)line[owners + 1], (uint)line[owners + 2], (uint)line[owners + 3]);

    public bool IsValid => Id >= 0 && Mode is >= 0 and <= 0x1ff;
}

/// <summary>The System V IPC of an application: what its IPC namespace holds.</summary>
/// <param name="Settings">Limits of the namespace: names with their values.</param>
/// <param name="Sets">Semaphores.</param>
/// <param name="Queues">Message queues.</param>
internal sealed record SystemVImage(IReadOnlyList<IpcSettingImage> Settings, IReadOnlyList<SemaphoreSetImage> Sets, IReadOnlyList<MessageQueueImage> Queues)
{
    /// <summary>In the names of settings of POSIX message queues; see mq_overview(7).</summary>
    private const string Mqueue = "mqueue/";

    /// <summary>Settings that every IPC namespace has for itself; see proc(5).</summary>
    public static readonly string[] SettingNames =
    [
        "shmmax", "shmall", "shmmni", "shm_rmid_forced", "sem", "msgmax", "msgmnb", "msgmni",
        Mqueue + "queues_max", Mqueue + "msg_max", Mqueue + "msgsize_max", Mqueue + "msg_default", Mqueue + "msgsize_default",
    ];

    /// <summary>POSIX message queues; empty in images that do not say.</summary>
    public IReadOnlyList<PosixQueueImage> PosixQueues { get; set; } = [];

    /// <summary>Where a setting is.</summary>
    public static string PathOf(string setting) => (setting.StartsWith(Mqueue, StringComparison.Ordinal) ? "/proc/sys/fs/" : "/proc/sys/kernel/") + setting;

    /// <summary>Captures it. The application stands.</summary>
    /// <param name="rootPid">A process in the namespace.</param>
    /// <param name="inner">The application's number of a process by the host's; 0 for one that is gone or outside.</param>
    public static SystemVImage Capture(int rootPid, Func<int, int> inner) =>
        IpcNamespace.Ask(rootPid, () => new SystemVImage(ReadSettings(), SemaphoreSets.Capture(inner), MessageQueues.Capture(inner)));

    /// <summary>The settings of the namespace in which the thread is.</summary>
    public static IReadOnlyList<IpcSettingImage> ReadSettings() =>
        [.. SettingNames.Select(name => new IpcSettingImage(name, ProcFs.TryText(PathOf(name))?.Trim() ?? string.Empty)).Where(setting => setting.Value.Length > 0)];

    /// <summary>What is wrong with it in an image, or null.</summary>
    public string? Problem() =>
        Settings.Any(setting => setting is null || !SettingNames.Contains(setting.Name) || setting.Value.Length > 200 || setting.Value.AsSpan().ContainsAnyExcept("0123456789 \t"))
            ? "a setting of the IPC namespace is impossible"
        : Sets.Any(set => set is null || !set.IsValid) || Sets.DistinctBy(set => set?.Permissions.Id).Count() != Sets.Count ? "a semaphore set is impossible"
        : Queues.Any(queue => queue is null || !queue.IsValid) || Queues.DistinctBy(queue => queue?.Permissions.Id).Count() != Queues.Count ? "a message queue is impossible"
        : PosixQueues.Any(queue => queue is not { IsValid: true }) || PosixQueues.DistinctBy(queue => queue.Id).Count() != PosixQueues.Count
            || PosixQueues.Where(queue => !queue.Removed).DistinctBy(queue => queue.Name).Count() != PosixQueues.Count(queue => !queue.Removed) ? "a POSIX message queue is impossible"
        : null;
}

/// <summary>A limit of an IPC namespace.</summary>
internal sealed record IpcSettingImage(string Name, string Value);
