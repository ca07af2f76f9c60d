using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Loading;

/// <summary>What goes over the connection of a feeder, both ways: <c>struct feed</c> of Spaces/loading.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FeedMessage
{
    /// <summary>Puts bytes where they belong. Answered when it finishes something, or failed.</summary>
    public const uint Place = 1;

    /// <summary>Asks for the next part of a stream that is not finished.</summary>
    public const uint Next = 2;

    /// <summary>From the init: somebody waits for a byte.</summary>
    public const uint Fault = 3;

    public uint Operation;

    public int Error;

    /// <summary>Number of the process of the image whose stream it is.</summary>
    public uint Stream;

    public uint Padding;

    /// <summary>In the stream.</summary>
    public ulong Offset;

    public ulong Length;

    /// <summary>In the shared memory.</summary>
    public ulong At;

    /// <summary>The part of the stream that is finished by it: to this byte from that one on; none when they are equal.</summary>
    public ulong From, To;
}
