using System.Buffers.Binary;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>The code of <c>init.c</c>, compiled ahead of time and embedded.</summary>
internal static class InitProgram
{
    /// <summary>Where it is loaded unless the caller has a reason for another place.</summary>
    public const ulong DefaultBase = 0x2000_0000;

    private const int MemorySizeOffset = 16;

    /// <summary>The flat binary.</summary>
    public static byte[] Code { get; } = Load();

    /// <summary>Bytes of memory from its base on, zeroed memory included.</summary>
    public static int MemorySize => checked((int)BinaryPrimitives.ReadUInt64LittleEndian(Code.AsSpan(MemorySizeOffset)));

    /// <summary>The executable that has the code at this address.</summary>
    public static byte[] Executable(ulong baseAddress) =>
        ElfFile.Write(baseAddress, Code, entryOffset: 0, MemorySize - (int)ElfFile.AlignToPage((ulong)Code.Length));

    private static byte[] Load()
    {
        using Stream stream = typeof(InitProgram).Assembly.GetManifestResourceStream("Holdfast.KernelBridge.Spaces.init.bin")
            ?? throw new InvalidOperationException("the resource init.bin is missing from the assembly");
        byte[] code = new byte[stream.Length];
        stream.ReadExactly(code);
        return code;
    }
}
