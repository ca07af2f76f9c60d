using System.Buffers.Binary;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Code that <c>build-init.sh</c> compiled ahead of time, which runs at any address; embedded in this assembly.</summary>
internal static class FlatProgram
{
    private const int MemorySizeOffset = 16;

    /// <summary>The code of that name.</summary>
    public static byte[] Load(string name)
    {
        using Stream stream = typeof(FlatProgram).Assembly.GetManifestResourceStream($"Holdfast.KernelBridge.Spaces.{name}")
            ?? throw new InvalidOperationException($"the resource {name} is missing from the assembly");
        byte[] code = new byte[stream.Length];
        stream.ReadExactly(code);
        return code;
    }

    /// <summary>Bytes of memory that code needs from its base on, zeroed memory included.</summary>
    public static int MemorySize(byte[] code) => checked((int)BinaryPrimitives.ReadUInt64LittleEndian(code.AsSpan(MemorySizeOffset)));

    /// <summary>The executable that has the code at this address.</summary>
    public static byte[] Executable(byte[] code, ulong baseAddress) =>
        ElfFile.Write(baseAddress, code, entryOffset: 0, MemorySize(code) - (int)ElfFile.AlignToPage((ulong)code.Length));
}
