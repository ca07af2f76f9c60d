using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Notes on timed waits that a stop has interrupted, kept in the process itself: on the low end of its main stack, which nobody uses.
/// A wait that goes on after a stop does so as restart_syscall(2), and nothing then tells which call it was or when it ends; the next checkpoint,
/// by another supervisor or after a restore, finds it here.
/// </summary>
/// <param name="address">Where the notes lie.</param>
/// <param name="memory">The process's memory.</param>
/// <param name="clockOffset">What the process's CLOCK_MONOTONIC is ahead of ours, nanoseconds: deadlines are in its own time.</param>
internal sealed class WaitNotes(ulong address, TargetMemory memory, long clockOffset)
{
    /// <summary>Bytes that the notes of a process take.</summary>
    public const int Size = Count * NoteSize;

    private const int Count = 256, NoteSize = 48;

    // "HFwait01"
    private const ulong Magic = 0x3130_7469_6177_4648;

    private record struct Note(ulong Magic, int Tid, int Number, long Deadline, ulong Instruction, ulong Stack, ulong Check);

    /// <summary>Whether notes lie in these bytes.</summary>
    public static bool AreAt(ReadOnlySpan<byte> bytes) => System.Runtime.InteropServices.MemoryMarshal.Read<ulong>(bytes) == Magic;

    /// <summary>The call that a thread is in the middle of, and when it ends, if an earlier stop left a note of this very wait.</summary>
    /// <param name="tid">Its number in its own namespace.</param>
    /// <param name="registers">Its registers.</param>
    public (ulong Number, long Remaining)? Find(int tid, in UserRegisters registers)
    {
        for (int i = 0; i < Count; i++)
        {
            Note note = memory.Read<Note>(address + (ulong)(i * NoteSize));
            if (note.Magic != Magic)
            {
                return null;
            }

            if (note.Tid == tid && note.Instruction == registers.Rip && note.Stack == registers.Rsp && note.Check == CheckOf(note))
            {
                return ((ulong)note.Number, note.Deadline == SleepNotes.Forever ? SleepNotes.Forever : Math.Max(0, note.Deadline - Now()));
            }
        }

        return null;
    }

    /// <summary>Replaces all notes.</summary>
    public void Write(IReadOnlyList<(int Tid, UserRegisters Registers, long Remaining)> waits)
    {
        byte[] bytes = new byte[Size];
        for (int i = 0; i < Math.Min(waits.Count, Count - 1); i++)
        {
            (int tid, UserRegisters registers, long remaining) = waits[i];
            Note note = new(Magic, tid, (int)registers.OrigRax, remaining == SleepNotes.Forever ? remaining : Now() + remaining, registers.Rip, registers.Rsp, 0);
            note.Check = CheckOf(note);
            System.Runtime.InteropServices.MemoryMarshal.Write(bytes.AsSpan(i * NoteSize), in note);
        }

        // Stale notes end with the first empty one; memory that was never touched stays untouched when there is nothing to say.
        if (waits.Count > 0 || memory.Read<ulong>(address) == Magic)
        {
            memory.Write(address, bytes.AsSpan(0, Math.Min(Size, (waits.Count + 1) * NoteSize)));
        }
    }

    private static ulong CheckOf(in Note note) =>
        unchecked((((ulong)note.Deadline * 0x9e3779b97f4a7c15) ^ note.Instruction) * 0x9e3779b97f4a7c15 ^ note.Stack ^ (ulong)note.Tid << 32 ^ (ulong)note.Number);

    private long Now() => Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) + clockOffset;
}
