namespace Holdfast.Kmod.Tests;

/// <summary>The sources of the module, as kernel people look at them.</summary>
public sealed class SourceTests
{
    [KernelFact]
    public void Checkpatch_has_nothing_to_say()
    {
        CommandResult script = Shell.Run(Path.Combine(Shell.Harness, "checkpatch"));
        Assert.True(script.Status == 0, script.ToString());
        string[] sources = [.. Directory.GetFiles(Shell.Module, "*.c").Concat(Directory.GetFiles(Shell.Module, "*.h")).Concat(Directory.GetFiles(Path.Combine(Shell.Module, "uapi"))).Concat(Directory.GetFiles(Path.Combine(Shell.Module, "examples")))];
        // compat.h is the one place that asks for the version, which a patch for one kernel must not.
        CommandResult result = Shell.Run(
            "perl", [script.Output.Trim(), "--no-tree", "--terse", "--no-summary", "--max-line-length=150", "--ignore", "LINUX_VERSION_CODE,CONSTANT_COMPARISON", "-f", .. sources]);

        Assert.True(result.Status == 0 && result.Output.Length == 0, result.ToString());
    }

    [Fact]
    public void The_version_of_a_kernel_is_asked_for_in_one_header_only()
    {
        string[] others = [.. Directory.GetFiles(Shell.Module).Where(file => File.ReadAllText(file).Contains("VERSION_CODE")).Select(file => Path.GetFileName(file))];

        Assert.Equal(["compat.h"], others);
    }

    [Fact]
    public void Dkms_builds_what_Kbuild_builds()
    {
        string dkms = File.ReadAllText(Path.Combine(Shell.Module, "dkms.conf"));

        Assert.Contains("BUILT_MODULE_NAME[0]=\"ckpt\"", dkms);
        Assert.Contains("+= ckpt.o", File.ReadAllText(Path.Combine(Shell.Module, "Kbuild")));
        Assert.All(
            File.ReadAllLines(Path.Combine(Shell.Module, "Kbuild")).Single(line => line.StartsWith("ckpt-y")).Split(' ').Where(word => word.EndsWith(".o")),
            part => Assert.True(File.Exists(Path.Combine(Shell.Module, Path.ChangeExtension(part, ".c"))), part));
        Assert.Equal(
            Directory.GetFiles(Shell.Module, "*.c").Select(file => Path.GetFileNameWithoutExtension(file)).Order(),
            File.ReadAllLines(Path.Combine(Shell.Module, "Kbuild")).Single(line => line.StartsWith("ckpt-y")).Split(' ').Where(word => word.EndsWith(".o")).Select(part => Path.GetFileNameWithoutExtension(part)).Order());
    }
}
