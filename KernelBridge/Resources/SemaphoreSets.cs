using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// System V semaphores: values, and who changed each last; see semget(2), semctl(2). Who waits in semop(2) makes that call again after a restore. What a process
/// is to take back at its end (SEM_UNDO) no interface shows: it is a caveat of every check.
/// </summary>
internal static unsafe class SemaphoreSets
{
    /// <summary>Most semaphores in a set: SEMMSL of include/uapi/linux/sem.h.</summary>
    private const int MostSemaphores = 32000;

    private const int MostValue = 32767;

    /// <summary>Captures the sets of the namespace in which the thread is.</summary>
    /// <param name="inner">The application's number of a process by the host's.</param>
    /// <exception cref="BridgeException"><c>ipc.unreadable</c>.</exception>
    public static IReadOnlyList<SemaphoreSetImage> Capture(Func<int, int> inner)
    {
        List<SemaphoreSetImage> sets = [];
        foreach (long[] line in IpcNamespace.List("sem"))
        {
            IpcPermissions permissions = IpcPermissions.Of(line, 4);
            ushort[] values = new ushort[line[3]];
            fixed (ushort* p = values)
            {
                if (IpcCalls.semctl(permissions.Id, 0, IpcCalls.GETALL, p) < 0)
                {
                    throw new BridgeException("ipc.unreadable", $"reading System V semaphore set {permissions.Id}", Errno.Text(Libc.LastError), "run as root or with CAP_IPC_OWNER");
                }
            }

            List<long> users = LastUsers(permissions.Id, values.Length);
            sets.Add(new SemaphoreSetImage(permissions, line[8] != 0, [.. values.Zip(users, (value, user) => new SemaphoreImage(value, user != 0, inner((int)user)))]));
        }

        return sets;
    }

    /// <summary>The processes that changed the semaphores of a set last, as the host numbers them; 0 for none. Of the namespace in which the thread is.</summary>
    public static List<long> LastUsers(int id, int count) => [.. Enumerable.Range(0, count).Select(number => (long)Math.Max(0, IpcCalls.semctl(id, number, IpcCalls.GETPID, null)))];

    /// <summary>Whether a set may hold so many, and each so much.</summary>
    public static bool IsValid(SemaphoreSetImage set) =>
        set.Permissions is { IsValid: true } && set.Semaphores is { Count: > 0 and <= MostSemaphores } && set.Semaphores.All(semaphore => semaphore is { Value: <= MostValue });
}

/// <summary>A set of semaphores.</summary>
/// <param name="Permissions">Identifier, key, owners.</param>
/// <param name="Operated">Whether semop(2) was ever used, which programs take for a sign that the set is ready.</param>
/// <param name="Semaphores">In order.</param>
internal sealed record SemaphoreSetImage(IpcPermissions Permissions, bool Operated, IReadOnlyList<SemaphoreImage> Semaphores)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsValid => SemaphoreSets.IsValid(this);
}

/// <summary>One semaphore.</summary>
/// <param name="Value">Its value.</param>
/// <param name="Used">Whether anybody ever changed it.</param>
/// <param name="LastPid">The process that changed it last; 0 when it is gone.</param>
internal sealed record SemaphoreImage(ushort Value, bool Used, int LastPid);
