using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>The structures of the calls and records; fields are named as in the header.</summary>
internal static unsafe class CkptStructures
{
    /// <summary>CKPT_VERSION: what the module can do.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Version
    {
        public uint Size;
        public uint Abi;
        public ulong Features;
        public uint PageSize;
        public uint Reserved;
    }

    /// <summary>CKPT_ATTACH: takes a process into the session.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Attach
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public uint Reserved;
    }

    /// <summary>CKPT_LIST: the processes of the session.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct List
    {
        public uint Size;
        public uint Count;
        public ulong Pids;
    }

    /// <summary>CKPT_FREEZE: brings all processes of the session to a halt.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Freeze
    {
        public uint Size;
        public uint Flags;
        public int CgroupFreeze;
        public uint TimeoutMs;
        public uint Threads;
        public int LatePid;
        public int LateTid;
        public int LateSyscall;
    }

    /// <summary>CKPT_THAW: lets them go on.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Thaw
    {
        public uint Size;
        public uint Flags;
    }

    /// <summary>CKPT_STATE: what makes up a process but its memory.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct State
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public uint Reserved;
        public ulong Buffer;
        public ulong Length;
    }

    /// <summary>The beginning of a record of CKPT_STATE.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Record
    {
        public uint Size;
        public uint Type;
    }

    /// <summary>CKPT_RECORD_PROCESS.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Process
    {
        public Record Record;
        public int Pid;
        public int Parent;
        public int Group;
        public int Session;
        public uint Threads;
        public uint ExitSignal;
        public ulong StartCode;
        public ulong EndCode;
        public ulong StartData;
        public ulong EndData;
        public ulong StartBrk;
        public ulong Brk;
        public ulong StartStack;
        public ulong ArgStart;
        public ulong ArgEnd;
        public ulong EnvStart;
        public ulong EnvEnd;
        public ulong StartTime;
        public uint Flags;
        public uint StopSignal;
        public uint Dumpable;
        public uint Membarrier;
        public uint ProtectionKeys;
        public uint Reserved;
        public ulong Memory;
        public ulong Actions;
    }

    /// <summary>CKPT_RECORD_THREAD.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Thread
    {
        public Record Record;
        public int Tid;
        public int OwnTid;
        public uint Uid;
        public uint Euid;
        public uint Suid;
        public uint Fsuid;
        public uint Gid;
        public uint Egid;
        public uint Sgid;
        public uint Fsgid;
        public uint NoNewPrivs;
        public uint Seccomp;
        public ulong Permitted;
        public ulong Effective;
        public ulong Inheritable;
        public ulong Bounding;
        public ulong Ambient;
        public ulong Blocked;
        public ulong AltstackBase;
        public ulong AltstackSize;
        public uint AltstackFlags;
        public uint Reserved;
        public ulong ClearChildTid;
        public ulong RobustList;
        public fixed byte Comm[16];
        public uint Flags;
        public uint Securebits;
        public uint ParentDeathSignal;
        public uint MachineCheck;
        public ulong TimerSlack;
        public ulong Rseq;
        public uint RseqSize;
        public uint RseqSignature;
        public uint Restart;
        public int RestartClock;
        public ulong RestartExpires;
        public uint Policy;
        public uint Reserved2;
        public fixed byte PolicyNodes[128];
        public ulong Files;
        public ulong Directories;
    }

    /// <summary>CKPT_RECORD_REGSET; the registers follow.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Regset
    {
        public Record Record;
        public uint Note;
        public uint Length;
    }

    /// <summary>CKPT_RECORD_SIGNAL: a pending signal.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Signal
    {
        public Record Record;
        public uint Shared;
        public uint Reserved;
        public fixed byte Siginfo[128];
    }

    /// <summary>CKPT_RECORD_ACTION.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Action
    {
        public Record Record;
        public uint Signal;
        public uint Reserved;
        public ulong Handler;
        public ulong Flags;
        public ulong Restorer;
        public ulong Mask;
    }

    /// <summary>CKPT_RECORD_VMA; the path follows.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Vma
    {
        public Record Record;
        public ulong Start;
        public ulong End;
        public ulong Flags;
        public ulong Offset;
        public ulong Inode;
        public uint Major;
        public uint Minor;
        public uint Path;
        public uint Reserved;
    }

    /// <summary>CKPT_RECORD_FILE; the path follows.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct File
    {
        public Record Record;
        public uint Fd;
        public uint CloseOnExec;
        public uint Flags;
        public uint Mode;
        public ulong Position;
        public ulong Inode;
        public uint Major;
        public uint Minor;
        public uint Path;
        public uint State;
        public uint OwnerType;
        public int Owner;
        public int OwnerSignal;
        public uint OwnerUid;
        public uint OwnerEuid;
        public uint Reserved;
        public ulong Description;
    }

    /// <summary>CKPT_RECORD_TIMER: an interval timer.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Timer
    {
        public Record Record;
        public uint Which;
        public uint Reserved;
        public ulong Value;
        public ulong Interval;
    }

    /// <summary>CKPT_RECORD_POSIX_TIMER.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct PosixTimer
    {
        public Record Record;
        public int Id;
        public int Clock;
        public ulong Value;
        public ulong Interval;
    }

    /// <summary>A range of addresses.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Range
    {
        public ulong Start;
        public ulong End;
    }

    /// <summary>CKPT_PAGES and CKPT_DIRTY: used pages of ranges as page records.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Pages
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public uint Count;
        public ulong Ranges;
        public ulong Buffer;
        public ulong Length;
        public ulong Next;
    }

    /// <summary>The beginning of a page record.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Page
    {
        public uint Size;
        public uint Flags;
        public ulong Address;
        public ulong VmaFlags;
        public ulong Reserved;
    }

    /// <summary>The header of a stream of page records.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Stream
    {
        public uint Size;
        public uint Magic;
        public uint Version;
        public uint PageSize;
        public uint Flags;
        public int Pid;
        public ulong Pages;
    }

    /// <summary>CKPT_SELECT: what read(2) and write(2) are about.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Select
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public uint Mode;
    }

    /// <summary>CKPT_PUT: page records into the memory of a process.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Put
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public uint Reserved;
        public ulong Buffer;
        public ulong Length;
    }

    /// <summary>CKPT_REGISTERS: the registers with which a thread goes on.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Registers
    {
        public uint Size;
        public uint Flags;
        public int Pid;
        public int Tid;
        public uint Note;
        public uint Length;
        public ulong Buffer;
    }

    /// <summary>CKPT_KEEP: settings of a socket are put back when the session ends.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Keep
    {
        public uint Size;
        public uint Flags;
        public int Fd;
        public uint Reserved;
    }

    /// <summary>CKPT_READ: files and links of procfs.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Read
    {
        public uint Size;
        public uint Flags;
        public uint Count;
        public uint NamesLength;
        public ulong Names;
        public ulong Buffer;
        public ulong Length;
    }

    /// <summary>An answer of CKPT_READ; what was asked for follows.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Content
    {
        public uint Size;
        public uint Error;
        public uint Length;
        public uint Reserved;
    }

    /// <summary>The answer to CKPT_READ_STATUS.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Stat
    {
        public ulong Inode;
        public long Bytes;
        public long Modified;
        public long Changed;
        public uint Mode;
        public uint Links;
        public uint Major;
        public uint Minor;
        public uint RawMajor;
        public uint RawMinor;
        public ulong Filesystem;
    }

    /// <summary>CKPT_BARRIER.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Barrier
    {
        public uint Size;
        public uint Flags;
        public uint Count;
        public uint TimeoutMs;
        public ulong Pids;
        public int Fd;
        public uint Reserved;
    }

    /// <summary>CKPT_ARRIVE.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Arrive
    {
        public uint Size;
        public uint Flags;
        public uint Arrived;
        public uint Count;
    }

    /// <summary>CKPT_RING: an io_uring or a context of Linux AIO.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Ring
    {
        public uint Size;
        public uint Flags;
        public int Fd;
        public int Pid;
        public ulong Address;
        public ulong InFlight;
        public ulong References;
        public uint Has;
        public uint Setup;
        public uint SqEntries;
        public uint CqEntries;
        public uint SqHead;
        public uint CqTail;
        public int Issuer;
        public uint SqHeadAt;
        public uint SqTailAt;
        public uint SqMaskAt;
        public uint SqEntriesAt;
        public uint SqFlagsAt;
        public uint SqDroppedAt;
        public uint SqArrayAt;
        public uint CqHeadAt;
        public uint CqTailAt;
        public uint CqMaskAt;
        public uint CqEntriesAt;
        public uint CqOverflowAt;
        public uint CqFlagsAt;
        public uint CqesAt;
        public uint Reserved;
    }

    /// <summary>What has happened to a process.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Event
    {
        public uint Type;
        public int Pid;
        public int Other;
        public uint Reserved;
        public ulong Time;
    }

    /// <summary>CKPT_EVENTS: takes what has happened.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Events
    {
        public uint Size;
        public uint Count;
        public ulong Target;
        public ulong Lost;
    }
}
