using System.Buffers.Binary;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Tests.Tape;

public sealed class SyscallTapeTests
{
    [Fact]
    public void A_record_is_number_and_flags_six_arguments_and_a_result()
    {
        SyscallTape tape = new(0x10000);
        tape.AddWith("something", 257, TapeFlags.MayFail | TapeFlags.FifthIsKept, 1, ulong.MaxValue, 3);
        tape.Add("another", 3, 4, 5, 6, 7, 8, 9);
        byte[] records = tape.Records();
        Assert.Equal(2 * SyscallTape.RecordSize, records.Length);
        Assert.Equal(257u, BinaryPrimitives.ReadUInt32LittleEndian(records));
        Assert.Equal(5u, BinaryPrimitives.ReadUInt32LittleEndian(records.AsSpan(4)));
        ulong[] words = [.. Enumerable.Range(0, 16).Select(i => BinaryPrimitives.ReadUInt64LittleEndian(records.AsSpan(i * 8)))];
        Assert.Equal([1, ulong.MaxValue, 3, 0, 0, 0, 0], words[1..8]);
        Assert.Equal([3, 4, 5, 6, 7, 8, 9, 0], words[8..]);
    }

    [Fact]
    public void Data_lie_at_the_addresses_that_were_promised()
    {
        SyscallTape tape = new(0x10000);
        ulong text = tape.Place("/etc");
        ulong room = tape.Reserve(17);
        ulong value = tape.Place(0x1122334455667788ul);
        Assert.Equal((0x10000ul, 0x10010ul, 0x10030ul), (text, room, value));
        byte[] data = tape.Data();
        Assert.Equal(tape.DataLength, data.Length);
        Assert.Equal("/etc\0"u8, data.AsSpan(0, 5));
        Assert.Equal(0x1122334455667788ul, BinaryPrimitives.ReadUInt64LittleEndian(data.AsSpan(0x30)));
    }

    [Fact]
    public void It_prints_a_line_for_each_call()
    {
        SyscallTape tape = new(0);
        tape.Add("opening a file", 2, 0x1000, 2);
        tape.AddWith("closing it", 3, TapeFlags.FirstIsKept, 0);
        Assert.Equal(
            "   0    2 None         (0x1000, 0x2, 0x0, 0x0, 0x0, 0x0) opening a file\n   1    3 FirstIsKept  (0x0, 0x0, 0x0, 0x0, 0x0, 0x0) closing it\n", tape.ToString());
    }
}
