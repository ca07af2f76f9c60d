using System.Buffers.Binary;
using System.Diagnostics;
using Holdfast.KernelBridge.Spaces;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class ElfFileTests
{
    // Two bytes of int3, then: mov edi, [rip + bss]; exit_group(edi + 42).
    private static byte[] ExitWithBssPlus42() =>
    [
        0xcc, 0xcc, 0x8b, 0x3d, 0xf8, 0x0f, 0x00, 0x00, 0x83, 0xc7, 0x2a, 0xb8, 0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05,
    ];

    [Theory]
    [InlineData(0x400000UL)]
    [InlineData(0x7e00_0000_0000UL)]
    public void The_kernel_runs_it_at_any_address_with_zeroed_memory_behind_the_code(ulong address)
    {
        byte[] file = ElfFile.Write(address, ExitWithBssPlus42(), entryOffset: 2, bssBytes: 8192);
        using SafeFileHandle executable = Descriptors.Memory("elf-test", file, executable: true);

        Assert.Equal(42, ChildProcess.Reap(SpawnedProgram.Start(executable, [])));
    }

    [Fact]
    public void It_crashes_at_the_wrong_entry()
    {
        byte[] file = ElfFile.Write(0x400000, ExitWithBssPlus42(), entryOffset: 0, bssBytes: 8192);
        using SafeFileHandle executable = Descriptors.Memory("elf-test", file, executable: true);

        Assert.Equal(128 + 5, ChildProcess.Reap(SpawnedProgram.Start(executable, [])));
    }

    [Fact]
    public void Code_may_not_be_written_and_data_not_executed()
    {
        byte[] file = ElfFile.Write(0x400000, new byte[5000], entryOffset: 4, bssBytes: 100);

        Assert.Equal(0x400004UL, BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(24)));
        Assert.Equal(3, BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(56)));
        Assert.Equal((1U, 5U, 0x400000UL, 5000UL, 5000UL), Segment(file, 0));
        Assert.Equal((0x6474e551U, 6U, 0UL, 0UL, 0UL), Segment(file, 1));
        Assert.Equal((1U, 6U, 0x402000UL, 0UL, 100UL), Segment(file, 2));
    }

    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(0x400001, 0, 0)]
    [InlineData(0x400000, 10, 0)]
    [InlineData(0x400000, -1, 0)]
    [InlineData(0x400000, 0, -1)]
    public void Arguments_out_of_range_are_refused(long address, int entry, int bss) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => ElfFile.Write((ulong)address, new byte[10], entry, bss));

    [Fact]
    public void The_checked_in_programs_are_what_their_sources_compile_to()
    {
        string folder = SourceFolder();
        string[] compiler = [FirstLine("gcc"), FirstLine("ld")];
        if (!compiler.SequenceEqual(File.ReadAllLines(Path.Combine(folder, "init.compiler"))))
        {
            // Another compiler may rightly choose other instructions.
            return;
        }

        DirectoryInfo work = Directory.CreateTempSubdirectory("holdfast-init-");
        try
        {
            using Process build = Process.Start(Path.Combine(folder, "build-init.sh"), [work.FullName]);
            build.WaitForExit();
            Assert.Equal(0, build.ExitCode);

            foreach (string name in (string[])["init.bin", "enter.bin", "keep.bin", "typed.bin", "requests.bin"])
            {
                byte[] built = File.ReadAllBytes(Path.Combine(work.FullName, name));
                Assert.Equal(built, File.ReadAllBytes(Path.Combine(folder, name)));
                Assert.Equal(built, FlatProgram.Load(name));
            }
        }
        finally
        {
            work.Delete(recursive: true);
        }
    }

    [Fact]
    public void The_numbers_of_the_source_are_those_of_the_configuration_block()
    {
        string source = File.ReadAllText(Path.Combine(SourceFolder(), "init.c"));
        (string Name, int Value)[] numbers =
        [
            ("FD_CONFIG", SpaceConfigBlock.ConfigDescriptor), ("FD_REPORT", SpaceConfigBlock.ReportDescriptor),
            ("FD_LISTEN", SpaceConfigBlock.ListenDescriptor), ("FD_EXIT", SpaceConfigBlock.ExitDescriptor),
            ("FD_LIFELINE", SpaceConfigBlock.LifelineDescriptor), ("FD_INIT_PROCS", SpaceConfigBlock.InitProcsDescriptor),
            ("FD_APP_PROCS", SpaceConfigBlock.AppProcsDescriptor), ("FD_FREEZE", SpaceConfigBlock.FreezeDescriptor),
            ("FD_GO", SpaceConfigBlock.GoDescriptor), ("FD_EXTRA", SpaceConfigBlock.FirstExtra),
        ];

        Assert.All(numbers, n => Assert.Contains($"\t{n.Name} = {n.Value},", source));
        Assert.Contains($"#define MAX_EXTRAS {SpaceRequest.MaxExtras}\n", source);
    }

    private static (uint Type, uint Flags, ulong Address, ulong InFile, ulong InMemory) Segment(byte[] file, int index)
    {
        ReadOnlySpan<byte> at = file.AsSpan(64 + (56 * index));
        return (
            BinaryPrimitives.ReadUInt32LittleEndian(at), BinaryPrimitives.ReadUInt32LittleEndian(at[4..]), BinaryPrimitives.ReadUInt64LittleEndian(at[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(at[32..]), BinaryPrimitives.ReadUInt64LittleEndian(at[40..]));
    }

    private static string FirstLine(string program)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, "--version") { RedirectStandardOutput = true })!;
            string line = process.StandardOutput.ReadLine() ?? "";
            process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return line;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "";
        }
    }

    private static string SourceFolder([System.Runtime.CompilerServices.CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../KernelBridge/Spaces"));
}
