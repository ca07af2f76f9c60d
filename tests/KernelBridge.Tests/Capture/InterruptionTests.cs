using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Tests.Capture;

public sealed class InterruptionTests
{
    private static readonly UserRegisters Middle = new() { OrigRax = 0, Rip = 0x1002, Rsp = 0x7000, Cs = X64.UserCodeSegment };

    [Theory]
    [InlineData(512)]
    [InlineData(513)]
    [InlineData(514)]
    public void A_call_that_restarts_is_made_again(int code)
    {
        UserRegisters resolved = Interruption.Resolve(Middle with { Rax = unchecked((ulong)-code), OrigRax = 7 });
        Assert.Equal((7ul, 0x1000ul, ulong.MaxValue), (resolved.Rax, resolved.Rip, resolved.OrigRax));
    }

    [Fact]
    public void A_call_that_needs_the_kernels_memory_of_it_becomes_EINTR()
    {
        UserRegisters resolved = Interruption.Resolve(Middle with { Rax = unchecked((ulong)-516), OrigRax = X64.Nanosleep });
        Assert.Equal((unchecked((ulong)-4), 0x1002ul, ulong.MaxValue), (resolved.Rax, resolved.Rip, resolved.OrigRax));
    }

    [Fact]
    public void A_wait_until_a_stated_time_is_simply_made_again()
    {
        UserRegisters resolved = Interruption.Resolve(Middle with { Rax = unchecked((ulong)-516), OrigRax = X64.Futex, Rsi = 9 });
        Assert.Equal((ulong)X64.Futex, resolved.Rax);
        Assert.Equal(0x1000ul, resolved.Rip);
    }

    [Fact]
    public void What_is_no_system_call_is_left_alone()
    {
        UserRegisters outside = Middle with { Rax = unchecked((ulong)-512), OrigRax = ulong.MaxValue };
        Assert.Equal(0, Interruption.RestartCode(outside));
        Assert.Equal(outside, Interruption.Resolve(outside));
    }

    [Fact]
    public void Only_calls_that_a_stop_ends_count_as_ended_early()
    {
        Assert.True(Interruption.EndedEarly(Middle with { Rax = unchecked((ulong)-4), OrigRax = X64.EpollWait }));
        Assert.False(Interruption.EndedEarly(Middle with { Rax = unchecked((ulong)-4), OrigRax = X64.Read }));
        Assert.False(Interruption.EndedEarly(Middle with { Rax = 1, OrigRax = X64.EpollWait }));
    }

    [Fact]
    public unsafe void A_wait_is_repeated_with_what_was_left_of_its_time()
    {
        using TargetMemory own = new(Environment.ProcessId);
        long* time = stackalloc long[4] { 2, 500_000_000, 0, 0 };
        UserRegisters wait = Middle with { Rax = unchecked((ulong)-4), OrigRax = X64.RtSigtimedwait, Rdx = (ulong)time };
        UserRegisters repeated = Interruption.Repeat(wait, TimeSpan.FromSeconds(1), own, (ulong)(time + 2));
        Assert.Equal(((ulong)X64.RtSigtimedwait, 0x1000ul, (ulong)(time + 2)), (repeated.Rax, repeated.Rip, repeated.Rdx));
        Assert.Equal((1L, 500_000_000L), (time[2], time[3]));
        repeated = Interruption.Repeat(wait, TimeSpan.FromSeconds(9), own, (ulong)(time + 2));
        Assert.Equal((0L, 0L), (time[2], time[3]));
        Assert.Equal(200ul, Interruption.Repeat(wait with { OrigRax = X64.EpollWait, R10 = 700 }, TimeSpan.FromMilliseconds(500), own, 0).R10);
        Assert.Equal(-1, (int)Interruption.Repeat(wait with { OrigRax = X64.EpollWait, R10 = uint.MaxValue }, TimeSpan.FromMilliseconds(500), own, 0).R10);
    }

    [Fact]
    public unsafe void A_thread_inside_a_restartable_sequence_goes_to_its_abort_address()
    {
        using TargetMemory own = new(Environment.ProcessId);
        ulong* section = stackalloc ulong[4] { 0, 0x1000, 0x10, 0x2000 };
        ulong* area = stackalloc ulong[2] { 0, (ulong)section };
        RseqConfiguration rseq = new() { Pointer = (ulong)area };
        foreach ((ulong at, ulong expected) in ((ulong, ulong)[])[(0x1000, 0x2000), (0x100f, 0x2000), (0x1010, 0x1010), (0xfff, 0xfff)])
        {
            Assert.Equal(expected, RestartableSequence.Abort(Middle with { Rip = at }, rseq, own).Rip);
        }

        area[1] = 0;
        Assert.Equal(0x1000ul, RestartableSequence.Abort(Middle with { Rip = 0x1000 }, rseq, own).Rip);

        // A library that is gone left a pointer to nothing.
        area[1] = 0x10;
        Assert.Equal(0x1000ul, RestartableSequence.Abort(Middle with { Rip = 0x1000 }, rseq, own).Rip);
    }

    [Fact]
    public void A_signal_frame_holds_registers_mask_and_state_where_the_kernel_looks()
    {
        UserRegisters registers = new() { R8 = 8, R15 = 15, Rdi = 1, Rax = 2, Rsp = 3, Rip = 4, Eflags = 5, Cs = 0x33, Ss = 0x2b };
        byte[] state = new byte[4096];
        BinaryPrimitives.WriteUInt64LittleEndian(state.AsSpan(464), 7);
        state[10] = 77;
        byte[] frame = X64.SignalFrame(0x10008, 0xabc, registers, state, 0x1234);
        ulong Word(int at) => BinaryPrimitives.ReadUInt64LittleEndian(frame.AsSpan(at));
        Assert.Equal((0xabcul, 8ul, 15ul, 1ul, 2ul, 3ul, 4ul, 5ul), (Word(0), Word(48), Word(104), Word(112), Word(152), Word(168), Word(176), Word(184)));
        Assert.Equal(0x002b_0000_0000_0033ul, Word(192));
        Assert.Equal(0x1234ul, Word(8 + 296));
        int at = (int)(Word(232) - 0x10008);
        Assert.Equal(0ul, Word(232) % 64);
        Assert.Equal(77, frame[at + 10]);
        Assert.Equal(0x46505853u, BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(at + 464)));
        int size = BinaryPrimitives.ReadInt32LittleEndian(frame.AsSpan(at + 464 + 16));
        Assert.Equal(0x46505845u, BinaryPrimitives.ReadUInt32LittleEndian(frame.AsSpan(at + size)));
        Assert.Equal(at + size + 4, frame.Length);
    }

    [Fact]
    public void Notes_of_waits_are_found_only_for_the_wait_that_they_are_about()
    {
        byte[] room = GC.AllocateArray<byte>(WaitNotes.Size, pinned: true);
        ulong address = (ulong)Marshal.UnsafeAddrOfPinnedArrayElement(room, 0);
        using TargetMemory own = new(Environment.ProcessId);
        WaitNotes notes = new(address, own, 0);
        UserRegisters wait = Middle with { OrigRax = X64.Nanosleep };
        Assert.Null(notes.Find(7, wait));
        notes.Write([]);
        Assert.False(room.AsSpan().ContainsAnyExcept((byte)0));
        notes.Write([(7, wait, 1_000_000_000_000), (8, wait with { Rsp = 0x9000 }, 5)]);
        (ulong number, long remaining) = notes.Find(7, wait)!.Value;
        Assert.Equal((ulong)X64.Nanosleep, number);
        Assert.InRange(remaining, 1, 1_000_000_000_000);
        Assert.Null(notes.Find(7, wait with { Rip = 0x1004 }));
        Assert.Null(notes.Find(7, wait with { Rsp = 0x7008 }));
        Assert.Null(notes.Find(9, wait));
        Assert.Equal(0, notes.Find(8, wait with { Rsp = 0x9000 })!.Value.Remaining >> 8);
        notes.Write([]);
        Assert.Null(notes.Find(7, wait));
    }

    [Fact]
    public void Notes_that_were_overwritten_are_not_believed()
    {
        byte[] room = GC.AllocateArray<byte>(WaitNotes.Size, pinned: true);
        ulong address = (ulong)Marshal.UnsafeAddrOfPinnedArrayElement(room, 0);
        using TargetMemory own = new(Environment.ProcessId);
        WaitNotes notes = new(address, own, 0);
        for (int at = 0; at < 48; at++)
        {
            notes.Write([(7, Middle with { OrigRax = X64.Nanosleep }, 1000)]);
            Assert.NotNull(notes.Find(7, Middle));
            room[at] ^= 1;
            Assert.Null(notes.Find(7, Middle));
        }
    }
}
