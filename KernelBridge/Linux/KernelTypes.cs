using System.Runtime.InteropServices;
using System.Text;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Where fields lie in structures of the running kernel, as it says itself (/sys/kernel/btf/vmlinux): BTF, Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
/// It is some 6 MB, which are kept out of the collected heap.
/// </summary>
internal sealed unsafe class KernelTypes : IDisposable
{
    private const string Path = "/sys/kernel/btf/vmlinux";

    private const int Magic = 0xeb9f, TypeLength = 12, MemberLength = 12;

    /// <summary>BTF_KIND_….</summary>
    private const int Int = 1, ArrayOf = 3, Struct = 4, Union = 5, Enum = 6, Typedef = 8, Restrict = 11, Function = 12, FunctionPrototype = 13, Variable = 14, DataSection = 15, DeclarationTag = 17, Enum64 = 19;

    private readonly byte* all;
    private readonly int length;
    private readonly int strings;

    // Where each type lies, by its number: they are numbered as they lie behind each other, from 1.
    private readonly int* places;
    private readonly int count;
    private readonly Dictionary<string, int> structures = [];
    private readonly Dictionary<string, int> functions = [];

    private KernelTypes(byte* all, int length, string[] ofStructures, string[] ofFunctions)
    {
        this.all = all;
        this.length = length;
        if ((Number(0) & 0xffff) != Magic)
        {
            throw new InvalidDataException("not BTF");
        }

        // struct btf_header: magic, version, flags; length of the header; offset and length of types and of strings, behind the header.
        int header = Number(4);
        int first = header + Number(8);
        int end = first + Number(12);
        strings = header + Number(16);
        if (first < 0 || end < first || end > length)
        {
            throw new InvalidDataException("BTF ends too early");
        }

        places = (int*)NativeMemory.Alloc((nuint)((end - first) / TypeLength) + 2, sizeof(int));
        try
        {
            (byte[][] structureNames, byte[][] functionNames) = (Ascii(ofStructures), Ascii(ofFunctions));
            count = 1;
            for (int at = first; at <= end - TypeLength; at += Length(at))
            {
                switch (Info(at).Kind)
                {
                    case Struct when Array.FindIndex(structureNames, name => IsNamed(at, name)) is >= 0 and var wanted:
                        structures[ofStructures[wanted]] = at;
                        break;
                    case Function when Array.FindIndex(functionNames, name => IsNamed(at, name)) is >= 0 and var wanted:
                        functions[ofFunctions[wanted]] = count;
                        break;
                }

                places[count++] = at;
            }
        }
        catch
        {
            NativeMemory.Free(places);
            throw;
        }

        static byte[][] Ascii(string[] names) => [.. names.Select(Encoding.ASCII.GetBytes)];
    }

    /// <summary>Reads what the running kernel says; null where it says nothing, or nothing that is understood.</summary>
    /// <param name="structures">The structures that will be asked for.</param>
    /// <param name="functions">The functions.</param>
    public static KernelTypes? TryRead(string[] structures, string[] functions)
    {
        try
        {
            using FileStream file = new(Path, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
            int length = checked((int)file.Length);
            byte* all = (byte*)NativeMemory.Alloc((nuint)length);
            try
            {
                file.ReadExactly(new Span<byte>(all, length));
                return new KernelTypes(all, length, structures, functions);
            }
            catch
            {
                NativeMemory.Free(all);
                throw;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return null;
        }
    }

    public void Dispose()
    {
        NativeMemory.Free(all);
        NativeMemory.Free(places);
    }

    /// <summary>The number of a function's type, for what is attached to it; null where there is none.</summary>
    /// <param name="name">One of the functions for which it was read.</param>
    public int? FunctionNumber(string name) => functions.TryGetValue(name, out int number) ? number : null;

    /// <summary>Where a field lies, bytes from the beginning of its structure; null for a structure or a field that there is not.</summary>
    /// <param name="structure">One of the structures for which it was read.</param>
    /// <param name="field">The field, which may be one of an unnamed structure in it.</param>
    /// <exception cref="InvalidDataException">What the kernel says is not understood.</exception>
    public int? Offset(string structure, string field) => structures.TryGetValue(structure, out int at) ? Offset(at, Encoding.ASCII.GetBytes(field)) : null;

    /// <summary>The same of a field within one that is a structure itself.</summary>
    /// <param name="structure">One of the structures for which it was read.</param>
    /// <param name="field">The field.</param>
    /// <param name="within">The field in that.</param>
    /// <exception cref="InvalidDataException">What the kernel says is not understood.</exception>
    public int? Offset(string structure, string field, string within) =>
        structures.TryGetValue(structure, out int at) && Find(at, Encoding.ASCII.GetBytes(field)) is { } outer && Offset(Defined(outer.Type), Encoding.ASCII.GetBytes(within)) is { } inner ? outer.Offset + inner : null;

    private int? Offset(int at, ReadOnlySpan<byte> field) => Find(at, field)?.Offset;

    /// <summary>What stands behind other names of a type, or words such as const.</summary>
    private int Defined(int number)
    {
        int at = Place(number);
        for (int i = 0; i < 16 && Info(at).Kind is >= Typedef and <= Restrict; i++)
        {
            at = Place(Number(at + 8));
        }

        return at;
    }

    private (int Offset, int Type)? Find(int at, ReadOnlySpan<byte> field)
    {
        (_, int members, bool hasBits) = Info(at);
        for (int member = at + TypeLength; member < at + TypeLength + (members * MemberLength); member += MemberLength)
        {
            // struct btf_member: name, type, offset in bits, and above it the width of a field of bits where the structure has such.
            int bits = hasBits ? Number(member + 8) & 0xffffff : Number(member + 8);
            if (IsNamed(member, field))
            {
                return bits % 8 == 0 ? (bits / 8, Number(member + 4)) : null;
            }

            if (Number(member) == 0 && Place(Number(member + 4)) is var inner && Info(inner).Kind is Struct or Union && Find(inner, field) is { } within)
            {
                return ((bits / 8) + within.Offset, within.Type);
            }
        }

        return null;
    }

    private int Place(int number) => number > 0 && number < count ? places[number] : throw new InvalidDataException($"BTF has no type {number}");

    private bool IsNamed(int at, ReadOnlySpan<byte> name) =>
        Bytes(strings + Number(at), name.Length + 1) is var text && text[name.Length] == 0 && text.StartsWith(name);

    /// <summary>What struct btf_type says behind its name: kind, how many follow, and a flag of the kind.</summary>
    private (int Kind, int Count, bool Flag) Info(int at) => Number(at + 4) is var info ? (info >> 24 & 0x1f, info & 0xffff, info < 0) : default;

    /// <summary>Bytes of a type with what follows it.</summary>
    private int Length(int at)
    {
        (int kind, int count, _) = Info(at);
        return TypeLength + (kind switch
        {
            Int or Variable or DeclarationTag => 4,
            ArrayOf => 12,
            Struct or Union or DataSection or Enum64 => count * 12,
            Enum or FunctionPrototype => count * 8,
            _ => 0,
        });
    }

    private int Number(int at) => BitConverter.ToInt32(Bytes(at, 4));

    private ReadOnlySpan<byte> Bytes(int at, int count) =>
        at >= 0 && at <= length - count ? new ReadOnlySpan<byte>(all + at, count) : throw new InvalidDataException("BTF ends too early");
}
