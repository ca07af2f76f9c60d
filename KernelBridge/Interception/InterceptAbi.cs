using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Interception;

/// <summary>What is agreed on with the interceptor; <c>ckpt-kmod/intercept/protocol.h</c>, against which a test holds it.</summary>
internal static class InterceptAbi
{
    public const string Directory = "/dev/shm/.holdfast";

    public const string Board = Directory + "/board";

    public const string Library = Directory + "/libckpt-intercept.so";

    /// <summary>The name of the checkpoint thread of a process (PR_SET_NAME).</summary>
    public const string ThreadName = "holdfast-ckpt";

    public const int BoardSize = 4096;

    public const int MostLeftOut = 1000;

    public const ulong Magic = 0x31304452414f4248;

    public const uint WakeAll = 0x8000_0000;

    public const int TextLength = 104;
}

/// <summary>What is on the board.</summary>
internal enum BoardOperation : uint
{
    Quiet = 0,
    Gather = 1,
    Resume = 2,
    Restored = 3,
}

/// <summary>Kinds of <see cref="InterceptMessage"/>.</summary>
internal enum InterceptMessageKind : uint
{
    Hello = 1,
    Prepare = 2,
    Stage = 3,
    Ready = 4,
    Refused = 5,
    Hold = 6,
}

/// <summary><c>struct ckpt_board</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct BoardContents
{
    public ulong Magic;
    public uint Generation;
    public BoardOperation Operation;
    public ulong Nonce;
    public uint Filters;
    public uint LeftOut;
    public fixed uint Pids[InterceptAbi.MostLeftOut];
}

/// <summary><c>struct ckpt_message</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct InterceptMessage
{
    public InterceptMessageKind Kind;
    public uint Value;
    public uint Second;
    public uint Reserved;
    public fixed byte Text[InterceptAbi.TextLength];
}
