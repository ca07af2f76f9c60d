using System.Buffers.Binary;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Puts together a program of bpf(2) that writes a record of 8-byte fields to the file of an iterator, once for each thing that the kernel iterates over
/// (Documentation/bpf/standardization/instruction-set.rst, Documentation/bpf/bpf_iterators.rst). Registers 1 to 5 are arguments, 0 the result, 6 to 9 keep what they hold
/// over a call, 10 points behind the stack.
/// </summary>
internal sealed class BpfCode
{
    /// <summary>Register 7: the thing.</summary>
    public const int Thing = 7;

    /// <summary>Registers for what a program wants to keep.</summary>
    public const int Kept = 8, KeptToo = 9;

    private const byte Move = 0xbf, MoveNumber = 0xb7, AddNumber = 0x07, Load8 = 0x79, Load4 = 0x61, Store8 = 0x7b, JumpUnlessZero = 0x55, JumpIfBelow = 0xa5, CallFunction = 0x85, Exit = 0x95;

    private const int Scratch = 1, Context = 6, Stack = 10, BPF_FUNC_probe_read_kernel = 113, BPF_FUNC_seq_write = 127;

    private readonly List<byte> code = [];
    private readonly int length;
    private int stored;

    /// <summary>Begins one.</summary>
    /// <param name="length">Bytes of the record.</param>
    /// <param name="thing">Where the pointer to the thing lies in what the kernel hands over; there is none at the end.</param>
    public BpfCode(int length, int thing)
    {
        this.length = length;
        Add(Move, Context, 1);
        Add(Load8, Thing, Context, thing);
        Add(JumpUnlessZero, Thing, 0, 2);
        Add(MoveNumber, 0);
        Add(Exit);
    }

    /// <summary>Loads what the kernel hands over beside the thing: another pointer, without which there is nothing to write, or a number of 4 bytes.</summary>
    /// <param name="to">The register.</param>
    /// <param name="at">Where it lies in what the kernel hands over.</param>
    /// <param name="half">It is a number.</param>
    public void LoadBeside(int to, int at, bool half = false)
    {
        Load(to, Context, at, half);
        if (!half)
        {
            Add(JumpUnlessZero, to, 0, 2);
            Add(MoveNumber, 0);
            Add(Exit);
        }
    }

    /// <summary>Loads 8 bytes, or 4, from where a register points to.</summary>
    public void Load(int to, int from, int offset, bool half = false) => Add(half ? Load4 : Load8, to, from, offset);

    /// <summary>The next field is what a register holds.</summary>
    public void Store(int register)
    {
        Add(Store8, Stack, register, stored - length);
        stored += 8;
    }

    /// <summary>The next field is a number.</summary>
    public void StoreNumber(int number)
    {
        Add(MoveNumber, Scratch, number: number);
        Store(Scratch);
    }

    /// <summary>The next field is what lies in a structure.</summary>
    /// <param name="from">The register that points to it.</param>
    /// <param name="offset">Where.</param>
    /// <param name="half">4 bytes of it.</param>
    public void Copy(int from, int offset, bool half = false)
    {
        Load(Scratch, from, offset, half);
        Store(Scratch);
    }

    /// <summary>The next field is 8 bytes, or 4, from behind a structure's own end, or 0 unless a register holds as much as a number.</summary>
    /// <param name="from">The register that points to it.</param>
    /// <param name="offset">Where.</param>
    /// <param name="register">The register.</param>
    /// <param name="least">The number.</param>
    /// <param name="half">4 bytes.</param>
    public void CopyBehind(int from, int offset, int register, int least, bool half = false)
    {
        StoreNumber(0);
        Add(JumpIfBelow, register, 0, 6, least);
        Fill(from, offset, half ? 4 : 8);
    }

    /// <summary>The next field is 8 bytes, or 4, from anywhere: of no structure, or of several fields of one, or 0 where nothing is.</summary>
    /// <param name="from">The register that points to it.</param>
    /// <param name="offset">Where.</param>
    /// <param name="half">4 bytes.</param>
    public void CopyAny(int from, int offset, bool half = false)
    {
        StoreNumber(0);
        Fill(from, offset, half ? 4 : 8);
    }

    // Six instructions.
    private void Fill(int from, int offset, int size)
    {
        Add(Move, 1, Stack);
        Add(AddNumber, 1, number: stored - 8 - length);
        Add(MoveNumber, 2, number: size);
        Add(Move, 3, from);
        Add(AddNumber, 3, number: offset);
        Add(CallFunction, number: BPF_FUNC_probe_read_kernel);
    }

    /// <summary>The record is a block of memory, larger than the stack of a program: it is written piece by piece.</summary>
    /// <param name="from">The register that points to the structure in which it lies.</param>
    /// <param name="offset">Where.</param>
    /// <param name="size">Bytes, a multiple of the length that was given for the record: that is a piece.</param>
    /// <param name="file">As for <see cref="Finish"/>.</param>
    public void CopyBlock(int from, int offset, int size, int file)
    {
        stored = length;
        for (int done = 0; done < size; done += length)
        {
            Add(Move, 1, Stack);
            Add(AddNumber, 1, number: -length);
            Add(MoveNumber, 2, number: length);
            Add(Move, 3, from);
            Add(AddNumber, 3, number: offset + done);
            Add(CallFunction, number: BPF_FUNC_probe_read_kernel);
            if (done + length < size)
            {
                Write(file);
            }
        }
    }

    /// <summary>Ends it: all fields are written.</summary>
    /// <param name="file">Where the pointer to the file lies in <c>struct bpf_iter_meta</c>, which comes first in what the kernel hands over.</param>
    public byte[] Finish(int file)
    {
        if (stored != length)
        {
            throw new InvalidOperationException($"A record of {stored} bytes, not of {length}.");
        }

        Write(file);
        Add(MoveNumber, 0);
        Add(Exit);
        return [.. code];
    }

    private void Write(int file)
    {
        Load(1, Context, 0);
        Load(1, 1, file);
        Add(Move, 2, Stack);
        Add(AddNumber, 2, number: -length);
        Add(MoveNumber, 3, number: length);
        Add(CallFunction, number: BPF_FUNC_seq_write);
    }

    // struct bpf_insn: operation, two registers, offset, number.
    private void Add(byte operation, int to = 0, int from = 0, int offset = 0, int number = 0)
    {
        Span<byte> instruction = stackalloc byte[8];
        instruction[0] = operation;
        instruction[1] = (byte)(from << 4 | to);
        BinaryPrimitives.WriteInt16LittleEndian(instruction[2..], checked((short)offset));
        BinaryPrimitives.WriteInt32LittleEndian(instruction[4..], number);
        code.AddRange(instruction);
    }
}
