using System.Buffers.Binary;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Writes the smallest static x86-64 ELF executable around position-independent code. See elf(5).</summary>
internal static class ElfFile
{
    private const int HeaderSize = 64;
    private const int ProgramHeaderSize = 56;
    private const uint Readable = 4, Writable = 2, Executable = 1;
    private const uint LoadSegment = 1, StackSegment = 0x6474e551;

    /// <summary>Size of a page of memory, to which segments are aligned.</summary>
    public const int PageSize = 4096;

    /// <summary>Writes the file: one read-and-execute segment with the code, one read-and-write segment of zeros behind it.</summary>
    /// <param name="baseAddress">Where the code's first byte is loaded; page aligned, above 0.</param>
    /// <param name="code">Code and constants; must run at any address.</param>
    /// <param name="entryOffset">Offset into <paramref name="code"/> at which it starts.</param>
    /// <param name="bssBytes">Bytes of zeroed memory that begin at the first page boundary after the code; 0 for none.</param>
    /// <returns>The file's bytes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public static byte[] Write(ulong baseAddress, ReadOnlySpan<byte> code, int entryOffset, int bssBytes)
    {
        ArgumentOutOfRangeException.ThrowIfZero(baseAddress);
        ArgumentOutOfRangeException.ThrowIfNotEqual(baseAddress % PageSize, 0UL, nameof(baseAddress));
        ArgumentOutOfRangeException.ThrowIfNegative(entryOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(entryOffset, code.Length);
        ArgumentOutOfRangeException.ThrowIfNegative(bssBytes);

        // The code starts a page into the file, since file offset and address must be equal modulo the page size.
        byte[] file = new byte[PageSize + code.Length];
        code.CopyTo(file.AsSpan(PageSize));
        ulong bss = baseAddress + AlignToPage((ulong)code.Length);
        int segments = bssBytes > 0 ? 3 : 2;

        new byte[] { 0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1 }.CopyTo(file, 0);
        Span<byte> header = file.AsSpan(0, HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[16..], 2); // ET_EXEC
        BinaryPrimitives.WriteUInt16LittleEndian(header[18..], 62); // EM_X86_64
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], baseAddress + (ulong)entryOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[52..], HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[54..], ProgramHeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[56..], (ushort)segments);

        WriteSegment(file, 0, LoadSegment, Readable | Executable, PageSize, baseAddress, (ulong)code.Length, (ulong)code.Length);
        WriteSegment(file, 1, StackSegment, Readable | Writable, 0, 0, 0, 0);
        if (bssBytes > 0)
        {
            WriteSegment(file, 2, LoadSegment, Readable | Writable, 0, bss, 0, (ulong)bssBytes);
        }

        return file;
    }

    /// <summary>The next page boundary at or after an address.</summary>
    public static ulong AlignToPage(ulong address) => (address + PageSize - 1) & ~(ulong)(PageSize - 1);

    private static void WriteSegment(byte[] file, int index, uint type, uint flags, ulong offset, ulong address, ulong inFile, ulong inMemory)
    {
        Span<byte> at = file.AsSpan(HeaderSize + (index * ProgramHeaderSize), ProgramHeaderSize);
        BinaryPrimitives.WriteUInt32LittleEndian(at, type);
        BinaryPrimitives.WriteUInt32LittleEndian(at[4..], flags);
        BinaryPrimitives.WriteUInt64LittleEndian(at[8..], offset);
        BinaryPrimitives.WriteUInt64LittleEndian(at[16..], address);
        BinaryPrimitives.WriteUInt64LittleEndian(at[24..], address);
        BinaryPrimitives.WriteUInt64LittleEndian(at[32..], inFile);
        BinaryPrimitives.WriteUInt64LittleEndian(at[40..], inMemory);
        BinaryPrimitives.WriteUInt64LittleEndian(at[48..], PageSize);
    }
}
