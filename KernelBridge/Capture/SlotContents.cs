using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What lies in the piece of stack on which injected calls are made, before any is made; put back at the end.</summary>
internal sealed class SlotContents : IDisposable
{
    private readonly TargetMemory memory;
    private readonly byte[] before;
    private int used;

    /// <summary>Reads them.</summary>
    /// <param name="memory">Of the process, which stands.</param>
    /// <param name="slot">Page-aligned address.</param>
    /// <param name="length">Bytes.</param>
    public SlotContents(TargetMemory memory, ulong slot, int length)
    {
        this.memory = memory;
        Slot = slot;
        before = new byte[length];
        memory.Read(slot, before);
    }

    public ulong Slot { get; }

    /// <summary>Bytes.</summary>
    public int Length => before.Length;

    /// <summary>Words that lead threads through the same questions, by where they end; of <see cref="InjectedCalls.BeginToAnswer"/>.</summary>
    public Dictionary<ulong, PreparedQuestions> Prepared { get; } = [];

    /// <summary>Notes that it is written to up to an address.</summary>
    public void Use(ulong end) => used = Math.Max(used, (int)(end - Slot));

    /// <summary>Puts back in a copy of the memory what was written so far.</summary>
    public void PutBackIn(TargetMemory copy) => copy.Write(Slot, before.AsSpan(0, used));

    public void Dispose()
    {
        try
        {
            PutBackIn(memory);
        }
        catch (BridgeException)
        {
            // Killed meanwhile, and its memory with it.
        }
    }
}
