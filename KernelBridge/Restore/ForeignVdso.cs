using System.Buffers.Binary;
using System.Text;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// The vDSO of another kernel: an application has called it by address and goes on doing so, while its code reads data that only its own
/// kernel lays out that way. So its image stays where it was, as plain memory, and each of its functions begins with a jump to the
/// function of the same name in this kernel's vDSO, or with the system call that the function stands for (vdso(7)).
/// </summary>
internal static class ForeignVdso
{
    private const int HeaderSize = 64, SymbolSize = 24;
    private const uint DynamicSegment = 2;
    private const long TagHash = 4, TagStrings = 5, TagSymbols = 6;

    /// <summary>What a function does when this kernel's vDSO lacks it: all of them fall back to these themselves.</summary>
    private static readonly Dictionary<string, int> Calls = new()
    {
        ["clock_gettime"] = 228, ["gettimeofday"] = 96, ["time"] = 201, ["getcpu"] = 309, ["clock_getres"] = 229, ["getrandom"] = 318,
    };

    /// <summary>The functions that a vDSO offers, by name without prefix; the value is the offset of its code.</summary>
    /// <exception cref="FormatException">It is no ELF image with dynamic symbols as elf(5) describes them.</exception>
    public static IReadOnlyDictionary<string, int> Functions(ReadOnlySpan<byte> vdso)
    {
        (int symbols, int strings, int count) = Tables(vdso);
        Dictionary<string, int> found = [];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> symbol = Slice(vdso, symbols + i * SymbolSize, SymbolSize);
            bool function = (symbol[4] & 0xf) == 2;
            bool defined = BinaryPrimitives.ReadUInt16LittleEndian(symbol[6..]) != 0;
            if (function && defined)
            {
                int at = Offset(vdso, BinaryPrimitives.ReadUInt64LittleEndian(symbol[8..]));
                found[Name(vdso, strings, BinaryPrimitives.ReadUInt32LittleEndian(symbol))] = at;
            }
        }

        return found.Count > 0 ? found : throw new FormatException("it offers no functions");
    }

    /// <summary>The old vDSO with its functions passed on.</summary>
    /// <param name="old">The snapshot's.</param>
    /// <param name="own">This kernel's.</param>
    /// <param name="ownAddress">Where this kernel's will lie.</param>
    /// <returns>The bytes to put where the old one was.</returns>
    /// <exception cref="FormatException">One of them cannot be read, or a function leaves no room for a jump.</exception>
    public static byte[] PassOn(ReadOnlySpan<byte> old, ReadOnlySpan<byte> own, ulong ownAddress)
    {
        IReadOnlyDictionary<string, int> here = Functions(own);
        IReadOnlyDictionary<string, int> there = Functions(old);
        int[] starts = [.. there.Values.Distinct().Order()];
        byte[] patched = old.ToArray();
        foreach ((string name, int at) in there)
        {
            byte[] code = here.TryGetValue(name, out int target) ? Jump(ownAddress + (ulong)target) : Call(name);
            int next = starts.FirstOrDefault(start => start > at, old.Length);
            if (next - at < code.Length)
            {
                throw new FormatException($"its function {name} has {next - at} bytes, too few for a jump");
            }

            code.CopyTo(patched, at);
        }

        return patched;
    }

    /// <summary><c>jmp *0(%rip)</c> with the address behind it: no register changes, any distance.</summary>
    private static byte[] Jump(ulong target)
    {
        byte[] code = [0xff, 0x25, 0, 0, 0, 0, .. stackalloc byte[8]];
        BinaryPrimitives.WriteUInt64LittleEndian(code.AsSpan(6), target);
        return code;
    }

    /// <summary><c>mov $number, %eax; syscall; ret</c>, or -ENOSYS for what has no system call of its own.</summary>
    private static byte[] Call(string name)
    {
        byte[] code = Calls.TryGetValue(name, out int number) ? [0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3] : [0xb8, 0, 0, 0, 0, 0xc3];
        BinaryPrimitives.WriteInt32LittleEndian(code.AsSpan(1), number == 0 ? -38 : number);
        return code;
    }

    private static (int Symbols, int Strings, int Count) Tables(ReadOnlySpan<byte> vdso)
    {
        ReadOnlySpan<byte> header = Slice(vdso, 0, HeaderSize);
        if (!header.StartsWith((ReadOnlySpan<byte>)[0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1]))
        {
            throw new FormatException("it is no 64-bit ELF image");
        }

        int programs = Offset(vdso, BinaryPrimitives.ReadUInt64LittleEndian(header[32..]));
        int size = BinaryPrimitives.ReadUInt16LittleEndian(header[54..]);
        int symbols = 0, strings = 0, count = 0;
        for (int i = 0; i < BinaryPrimitives.ReadUInt16LittleEndian(header[56..]); i++)
        {
            ReadOnlySpan<byte> program = Slice(vdso, programs + i * size, 56);
            if (BinaryPrimitives.ReadUInt32LittleEndian(program) != DynamicSegment)
            {
                continue;
            }

            int at = Offset(vdso, BinaryPrimitives.ReadUInt64LittleEndian(program[8..]));
            int end = at + Offset(vdso, BinaryPrimitives.ReadUInt64LittleEndian(program[32..]));
            for (; at + 16 <= end; at += 16)
            {
                long tag = BinaryPrimitives.ReadInt64LittleEndian(Slice(vdso, at, 16));
                ulong value = BinaryPrimitives.ReadUInt64LittleEndian(Slice(vdso, at + 8, 8));
                switch (tag)
                {
                    case TagSymbols:
                        symbols = Offset(vdso, value);
                        break;
                    case TagStrings:
                        strings = Offset(vdso, value);
                        break;
                    case TagHash:
                        // nbucket, nchain: there are as many chains as symbols.
                        count = BinaryPrimitives.ReadInt32LittleEndian(Slice(vdso, Offset(vdso, value) + 4, 4));
                        break;
                    case 0:
                        at = end;
                        break;
                }
            }
        }

        // Kernels whose vDSO has only the GNU hash lay the names right behind the symbols.
        count = count > 0 ? count : (strings - symbols) / SymbolSize;
        return symbols > 0 && strings > 0 && count is > 0 and < 10_000 ? (symbols, strings, count) : throw new FormatException("it has no dynamic symbols");
    }

    private static string Name(ReadOnlySpan<byte> vdso, int strings, uint index)
    {
        int start = Offset(vdso, (ulong)strings + index);
        int length = vdso[start..].IndexOf((byte)0);
        string name = length < 0 ? throw new FormatException("a name in it has no end") : Encoding.ASCII.GetString(vdso.Slice(start, length));
        const string prefix = "__vdso_";
        return name.StartsWith(prefix, StringComparison.Ordinal) ? name[prefix.Length..] : name;
    }

    private static int Offset(ReadOnlySpan<byte> vdso, ulong value) =>
        value < (ulong)vdso.Length ? (int)value : throw new FormatException($"it refers to offset 0x{value:x}, but has {vdso.Length} bytes");

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> vdso, int start, int length) =>
        start >= 0 && start <= vdso.Length - length ? vdso.Slice(start, length) : throw new FormatException($"it ends at {vdso.Length}, before offset 0x{start + length:x}");
}
