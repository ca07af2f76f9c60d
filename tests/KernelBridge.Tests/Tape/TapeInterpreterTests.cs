using System.Diagnostics;
using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Tape;

public sealed partial class TapeInterpreterTests(Xunit.Abstractions.ITestOutputHelper output)
{
    [Fact]
    public void Its_bytes_are_those_of_the_assembly_beside_it()
    {
        string? source = Source();
        if (Tools.Find("as") is null || Tools.Find("objcopy") is null || source is null)
        {
            output.WriteLine("skipped: no assembler, or no source tree");
            return;
        }

        string assembly = string.Join('\n', Lines().Matches(source[source.IndexOf("/// <code>", StringComparison.Ordinal)..source.IndexOf("/// </code>", StringComparison.Ordinal)])
            .Skip(1).Select(line => line.Groups[1].Value.Split(';')[0]));
        string directory = Directory.CreateTempSubdirectory("holdfast-tape-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(directory, "a.s"), ".intel_syntax noprefix\n" + assembly + "\n");
            Run(directory, "as", "-o", "a.o", "a.s");
            Run(directory, "objcopy", "-O", "binary", "-j", ".text", "a.o", "a.bin");
            byte[] code = File.ReadAllBytes(Path.Combine(directory, "a.bin"));
            Assert.Equal(Convert.ToHexString(code), Convert.ToHexString(TapeInterpreter.Code));
            Assert.Equal("0F05", Convert.ToHexString(code.AsSpan((int)TapeInterpreter.SyscallOffset, 2)));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void A_process_runs_it_up_to_the_first_error() => InStub(stub =>
    {
        SyscallTape tape = stub.NewTape();
        ulong ends = tape.Reserve(8);
        tape.Add("who am I", X64.Getpid);
        tape.AddWith("may fail", X64.Close, TapeFlags.MayFail | TapeFlags.LeaveKept, 999);
        tape.AddWith("kept as the first", X64.Kill, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, 0);
        tape.Add("a pipe", X64.Pipe2, ends, 0);
        tape.Add("a copy", X64.Dup3, 1, 60, 0);
        tape.AddWith("closing the copy", X64.Close, TapeFlags.FirstIsKept, 0);
        long[] results = stub.Run(tape);
        Assert.Equal([stub.HostPid, -9, 0, 0, 60, 0], results);
        Assert.Equal(2, ProcFs.Numbers($"/proc/{stub.HostPid}/fd").Count(number => ProcFs.TryLink($"/proc/{stub.HostPid}/fd/{number}")!.StartsWith("pipe:", StringComparison.Ordinal)));

        SyscallTape failing = stub.NewTape();
        failing.Add("works", X64.Getpid);
        failing.Add("closing what is not open", X64.Close, 999);
        failing.Add("never comes so far", X64.Dup3, 1, 61, 0);
        BridgeException failure = Assert.Throws<BridgeException>(() => stub.Run(failing));
        Assert.Equal("restore.call", failure.Code);
        Assert.Contains("closing what is not open", failure.Message, StringComparison.Ordinal);
        Assert.False(Path.Exists($"/proc/{stub.HostPid}/fd/61"));
        return 0;
    });

    [Fact]
    public void Hundreds_of_calls_take_one_run() => InStub(stub =>
    {
        SyscallTape tape = stub.NewTape();
        for (int i = 0; i < 5000; i++)
        {
            tape.Add("parent", X64.Getppid);
        }

        Assert.All(stub.Run(tape), result => Assert.True(result >= 0));
        return 0;
    });

    internal static void InStub(Func<Stub, int> body)
    {
        using var nowhere = new FileStream("/dev/null", FileMode.Open, FileAccess.ReadWrite);
        int fd = (int)nowhere.SafeFileHandle.DangerousGetHandle();
        using StubHandle handle = Space.StartStub(new StubRequest { StandardStreams = [fd, fd, fd] });
        Driver.OnThread(() =>
        {
            using Stub stub = Stub.Adopt(handle.Pid, new WorkArea(0x100000000, 0, 0));
            return body(stub);
        });
    }

    private static void Run(string directory, string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = directory })!;
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    private static string? Source()
    {
        for (string? directory = AppContext.BaseDirectory; directory is not null; directory = Path.GetDirectoryName(directory))
        {
            string path = Path.Combine(directory, "KernelBridge", "Tape", "TapeInterpreter.cs");
            if (File.Exists(path))
            {
                return File.ReadAllText(path);
            }
        }

        return null;
    }

    [GeneratedRegex("/// (.*)")]
    private static partial Regex Lines();
}
