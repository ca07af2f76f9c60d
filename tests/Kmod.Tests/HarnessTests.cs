namespace Holdfast.Kmod.Tests;

/// <summary>What tests/vm/run promises about how a run ends. Not beside the guests of the other tests: both are slow enough alone.</summary>
[Collection(nameof(Guests))]
public sealed class HarnessTests
{
    private static string Run => Path.Combine(Shell.Harness, "run");

    [KernelFact]
    public void Output_errors_files_and_exit_status_are_handed_back_and_nothing_else_stays()
    {
        string directory = Directory.CreateTempSubdirectory("holdfast-out-").FullName;
        try
        {
            CommandResult result = Shell.Run(Run, "--module", "none", "--out", directory, "sh", "-c", $"echo said; echo complained >&2; echo \"it's kept\" >$VM_OUT/file; echo gone >{directory}/other; exit 7");

            Assert.Equal((7, "said\n", "complained\n"), (result.Status, result.Output, result.Errors));
            Assert.Equal("it's kept\n", File.ReadAllText(Path.Combine(directory, "file")));
            Assert.Equal(["file"], Directory.GetFileSystemEntries(directory).Select(Path.GetFileName));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [KernelFact]
    public void A_complaint_of_the_kernel_fails_a_run_whose_command_passed()
    {
        CommandResult result = Shell.Run(Run, "--module", "none", "sh", "-c", "echo 'WARNING: CPU: 0 at made-up.c' >/dev/kmsg");

        Assert.Equal(4, result.Status);
        Assert.Contains("made-up.c", result.Errors);
    }

    [KernelFact]
    public void A_fault_of_a_program_is_no_complaint_of_the_kernel()
    {
        // HLT is an instruction that no program may execute: a general protection fault, which the kernel logs when nobody handles it.
        string directory = Directory.CreateTempSubdirectory("holdfast-vm-test-").FullName;
        try
        {
            string log = Path.Combine(directory, "kernel.log");
            File.WriteAllText(Path.Combine(directory, "halt.c"), "int main(void) { __asm__ volatile(\"hlt\"); return 0; }\n");
            Assert.Equal(0, Shell.Run("gcc", "-o", Path.Combine(directory, "halt"), Path.Combine(directory, "halt.c")).Status);

            CommandResult result = Shell.Run(Run, "--module", "none", "--log", log, "sh", "-c", $"{directory}/halt; test $? -gt 128");

            Assert.True(result.Status == 0, result.ToString());
            Assert.Matches(@"traps: halt\[\d+\] general protection", File.ReadAllText(log));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [KernelFact]
    public void A_run_ends_at_its_deadline_and_leaves_nothing()
    {
        string temporary = Directory.CreateTempSubdirectory("holdfast-tmp-").FullName;
        try
        {
            CommandResult result = Shell.Run("env", $"TMPDIR={temporary}", Run, "--module", "none", "--timeout", "3", "sleep", "1000");

            Assert.Equal(5, result.Status);
            Assert.Empty(Directory.GetFileSystemEntries(temporary));
            Assert.DoesNotContain(Directory.GetDirectories("/proc").Where(process => int.TryParse(Path.GetFileName(process), out _)), process => CommandLine(process).Contains(temporary));
        }
        finally
        {
            Directory.Delete(temporary, recursive: true);
        }
    }

    [Fact]
    public void What_is_missing_is_named()
    {
        string directory = Directory.CreateTempSubdirectory("holdfast-path-").FullName;
        try
        {
            foreach (string program in new[] { "dirname", "readlink" })
            {
                File.CreateSymbolicLink(Path.Combine(directory, program), $"/usr/bin/{program}");
            }

            CommandResult result = Shell.Run(directory, "/bin/sh", [Run, "true"]);

            Assert.Equal(3, result.Status);
            Assert.Contains("qemu-system-x86", result.Errors);
            Assert.Contains("busybox-static", result.Errors);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static string CommandLine(string process)
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "cmdline"));
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }
}
