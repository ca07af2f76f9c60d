using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>Calls of System V IPC; see sysvipc(7) and section 2 of the manual, and include/uapi/linux/{shm,sem,msg}.h for the commands.</summary>
internal static unsafe partial class IpcCalls
{
    public const int IPC_CREAT = 0x200, IPC_EXCL = 0x400, IPC_NOWAIT = 0x800, IPC_RMID = 0, IPC_SET = 1;

    public const int SHM_RDONLY = 0x1000, SHM_LOCK = 11, SHM_DEST = 0x200, SHM_LOCKED = 0x400;

    public const int GETPID = 11, GETALL = 13, SETVAL = 16;

    public const int MSG_STAT_ANY = 13, MSG_COPY = 0x4000, E2BIG = 7, ENOMSG = 42;

    /// <summary>Bytes of struct shmid64_ds, semid64_ds and msqid64_ds on x86-64, and of the struct ipc64_perm at their beginning.</summary>
    public const int SegmentStatusSize = 112, SetStatusSize = 104, QueueStatusSize = 120;

    /// <summary>Where in struct msqid64_ds msg_qbytes lies.</summary>
    public const int QueueCapacityOffset = 88;

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint shmat(int id, nint address, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int shmdt(nint address);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int semctl(int id, int number, int command, void* argument);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int msgctl(int id, int command, void* buffer);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint msgrcv(int id, void* message, nuint size, nint type, int flags);
}
