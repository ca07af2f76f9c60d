using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// A piece of the main stack that no thread uses: at its low end, more than 4 KiB below every stack pointer in it; for injected calls, behind them for shortened
/// timeouts, behind these for notes on interrupted waits, behind those, where there is as much, for the threads that answer at the same time. Where all of it is in use, it
/// grows as a deeper call would let it grow.
/// </summary>
internal static class StackRoom
{
    /// <summary>Where the notes on interrupted waits lie.</summary>
    public const ulong NotesOffset = InjectedCalls.SlotSize + TimeoutRoom * 16;

    /// <summary>Threads whose shortened timeouts find room.</summary>
    private const int TimeoutRoom = 256;

    /// <summary>Where threads answer at the same time, and how many bytes they have for it.</summary>
    public const int AnswersOffset = (int)NotesOffset + WaitNotes.Size, AnswersSize = 65536;

    /// <summary>How far below every stack pointer the room begins, and the room has to be from the stack's low end, at least.</summary>
    private const ulong Depth = AnswersOffset + 4096;

    /// <summary>Where the shortened timeout of a thread goes, 16 bytes.</summary>
    /// <param name="room">The room.</param>
    /// <param name="thread">The thread, counted.</param>
    public static ulong Timeout(ulong room, int thread) => room + InjectedCalls.SlotSize + (ulong)(thread % TimeoutRoom) * 16;

    /// <summary>Finds the room in a process that stands.</summary>
    /// <param name="inspection">The process.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="pointers">The stack pointers of its threads.</param>
    /// <param name="first">That of its first thread; null when it has ended.</param>
    /// <param name="answers">With the room for threads that answer at the same time.</param>
    /// <returns>Its address; null when there is none.</returns>
    public static ulong? Find(ProcessInspection inspection, TargetMemory memory, IReadOnlyCollection<ulong> pointers, ulong? first, bool answers = false)
    {
        ulong depth = answers ? Depth + AnswersSize : Depth;
        MemoryMap? stack = Stack(inspection);
        if (stack is null || (stack.Protection & (Libc.PROT_READ | Libc.PROT_WRITE)) != (Libc.PROT_READ | Libc.PROT_WRITE))
        {
            return null;
        }

        if (stack.Length < depth || pointers.Any(pointer => pointer >= stack.Start && pointer < stack.End && pointer < stack.Start + depth))
        {
            return null;
        }

        // A main thread that is elsewhere (a handler on an alternate stack, a coroutine) has left its stack in a depth that nothing shows:
        // then only memory that holds nothing is nobody's.
        return (first >= stack.Start && first < stack.End) || HoldsNothing(stack.Start, memory, answers) ? stack.Start : null;
    }

    /// <summary>
    /// Lets the main stack grow by what the room takes: whoever looks through <c>/proc/PID/mem</c> at what lies below a stack makes the kernel extend it down to
    /// there (mm/memory.c, mm/mmap.c), unless that is more than RLIMIT_STACK of who looks allows, or something else is mapped too near.
    /// </summary>
    /// <param name="inspection">The process, which has to be inspected again when this succeeds.</param>
    /// <param name="memory">Its memory.</param>
    /// <returns>Whether it has grown.</returns>
    public static bool TryMake(ProcessInspection inspection, TargetMemory memory)
    {
        if (Stack(inspection) is not { } stack)
        {
            return false;
        }

        try
        {
            _ = memory.Read<byte>((stack.Start - Depth) & ~4095UL);
            return true;
        }
        catch (BridgeException)
        {
            return false;
        }
    }

    private static MemoryMap? Stack(ProcessInspection inspection) => inspection.Areas.Select(area => area.Map).FirstOrDefault(map => map.Name == "[stack]");

    /// <summary>Whether the room of injected calls, timeouts and answers is zero, and that of notes too, or holds notes.</summary>
    private static bool HoldsNothing(ulong start, TargetMemory memory, bool answers)
    {
        byte[] bytes = new byte[AnswersOffset + (answers ? AnswersSize : 0)];
        memory.Read(start, bytes);
        bool hasNotes = WaitNotes.AreAt(bytes.AsSpan((int)NotesOffset));
        return !bytes.AsSpan(0, hasNotes ? InjectedCalls.SlotSize : AnswersOffset).ContainsAnyExcept((byte)0) && !bytes.AsSpan(AnswersOffset).ContainsAnyExcept((byte)0);
    }
}
