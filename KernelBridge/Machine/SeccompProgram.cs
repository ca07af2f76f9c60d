using System.Buffers.Binary;

namespace Holdfast.KernelBridge.Machine;

/// <summary>
/// A filter of seccomp(2): a program of classic BPF over <c>struct seccomp_data</c>. Answered here is what it would say of a system call, so that none is made inside
/// a process that its filters do not allow. Instructions and their meaning as in <c>include/uapi/linux/bpf_common.h</c>; the kernel permits a part of them only
/// (<c>seccomp_check_filter</c> in <c>kernel/seccomp.c</c>).
/// </summary>
internal sealed class SeccompProgram
{
    /// <summary>Instructions that a filter has at most (BPF_MAXINSNS).</summary>
    public const int Longest = 4096;

    /// <summary>Bytes of an instruction: <c>struct sock_filter</c>.</summary>
    public const int InstructionSize = 8;

    // seccomp_data: number, architecture, instruction pointer, six arguments.
    private const int DataSize = 64, MemoryWords = 16;
    private const uint AuditArchX86_64 = 0xc000003e;
    private const uint ReturnAllow = 0x7fff0000, ReturnLog = 0x7ffc0000, ReturnKill = 0, ActionMask = 0xffff0000;

    private readonly Instruction[] instructions;

    private SeccompProgram(Instruction[] instructions)
    {
        this.instructions = instructions;
    }

    /// <summary>Reads a program.</summary>
    /// <param name="bytes">An array of <c>struct sock_filter</c>.</param>
    /// <returns>Null when it is none.</returns>
    public static SeccompProgram? TryRead(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length == 0 || bytes.Length % InstructionSize != 0 || bytes.Length / InstructionSize > Longest)
        {
            return null;
        }

        Instruction[] instructions = new Instruction[bytes.Length / InstructionSize];
        for (int i = 0; i < instructions.Length; i++)
        {
            ReadOnlySpan<byte> one = bytes[(i * InstructionSize)..];
            instructions[i] = new Instruction(BinaryPrimitives.ReadUInt16LittleEndian(one), one[2], one[3], BinaryPrimitives.ReadUInt32LittleEndian(one[4..]));
        }

        return new SeccompProgram(instructions);
    }

    /// <summary>Whether it lets a call happen as if there were no filter.</summary>
    /// <param name="number">The call.</param>
    /// <param name="arguments">Its six arguments.</param>
    /// <param name="instruction">The address behind the system-call instruction.</param>
    public bool Allows(long number, ReadOnlySpan<ulong> arguments, ulong instruction)
    {
        Span<byte> data = stackalloc byte[DataSize];
        BinaryPrimitives.WriteInt32LittleEndian(data, (int)number);
        BinaryPrimitives.WriteUInt32LittleEndian(data[4..], AuditArchX86_64);
        BinaryPrimitives.WriteUInt64LittleEndian(data[8..], instruction);
        for (int i = 0; i < 6; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(data[(16 + i * 8)..], arguments[i]);
        }

        return (Run(data) & ActionMask) is ReturnAllow or ReturnLog;
    }

    /// <summary>Runs it; what it must not contain ends it with SECCOMP_RET_KILL_THREAD, the strictest answer.</summary>
    private uint Run(ReadOnlySpan<byte> data)
    {
        uint a = 0, x = 0;
        Span<uint> memory = stackalloc uint[MemoryWords];
        memory.Clear();

        // Jumps go forward only, so that it ends.
        for (int at = 0; at < instructions.Length; at++)
        {
            (ushort code, byte whenTrue, byte whenFalse, uint k) = instructions[at];
            switch (code)
            {
                case 0x20 when k <= DataSize - 4 && k % 4 == 0: // ld [k]
                    a = BinaryPrimitives.ReadUInt32LittleEndian(data[(int)k..]);
                    break;
                case 0x80: // ld len
                    a = DataSize;
                    break;
                case 0x81: // ldx len
                    x = DataSize;
                    break;
                case 0x00: // ld #k
                    a = k;
                    break;
                case 0x01: // ldx #k
                    x = k;
                    break;
                case 0x60 when k < MemoryWords: // ld M[k]
                    a = memory[(int)k];
                    break;
                case 0x61 when k < MemoryWords: // ldx M[k]
                    x = memory[(int)k];
                    break;
                case 0x02 when k < MemoryWords: // st
                    memory[(int)k] = a;
                    break;
                case 0x03 when k < MemoryWords: // stx
                    memory[(int)k] = x;
                    break;
                case 0x07: // tax
                    x = a;
                    break;
                case 0x87: // txa
                    a = x;
                    break;
                case 0x06: // ret #k
                    return k;
                case 0x16: // ret a
                    return a;
                case 0x05: // ja
                    at = (int)Math.Min(at + (long)k, instructions.Length);
                    break;
                default:
                    switch (code & 7)
                    {
                        case 4: // arithmetic
                            if (Calculate(code & 0xf0, a, (code & 8) != 0 ? x : k) is not { } result)
                            {
                                return ReturnKill;
                            }

                            a = result;
                            break;
                        case 5 when Compare(code & 0xf0, a, (code & 8) != 0 ? x : k) is { } holds: // jumps
                            at += holds ? whenTrue : whenFalse;
                            break;
                        default:
                            return ReturnKill;
                    }

                    break;
            }
        }

        return ReturnKill;
    }

    private static uint? Calculate(int operation, uint a, uint operand) => operation switch
    {
        0x00 => a + operand,
        0x10 => a - operand,
        0x20 => a * operand,
        0x30 => operand == 0 ? 0 : a / operand,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => operand > 31 ? 0 : a << (int)operand,
        0x70 => operand > 31 ? 0 : a >> (int)operand,
        0x80 => 0 - a,
        0xa0 => a ^ operand,
        _ => null,
    };

    private static bool? Compare(int operation, uint a, uint operand) => operation switch
    {
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        0x40 => (a & operand) != 0,
        _ => null,
    };

    private readonly record struct Instruction(ushort Code, byte WhenTrue, byte WhenFalse, uint K);
}
