namespace Holdfast.EndToEnd.Tests;

/// <summary>What <c>./holdfast</c> builds.</summary>
public sealed class BuildTests
{
    [InstalledFact("gcc")]
    public void Where_there_is_a_C_compiler_the_program_is_machine_code()
    {
        using WorkDirectory work = new();
        CommandRunner runner = new(work.Scratch, new Dictionary<string, string>());
        runner.Run(TimeSpan.FromMinutes(10), Repository.HoldfastCommand, "--version").Required();

        string why = Path.Combine(Repository.Root, ".build", "native.log");
        string reason = File.Exists(why) ? File.ReadAllText(why) : "";

        // A package that cannot be had here is no fault of the sources.
        Assert.True(IsMachineCode(Path.GetDirectoryName(Repository.HoldfastProgram)!) || reason.Contains("error NU", StringComparison.Ordinal), $"it is not machine code: {reason}");
    }

    [LongFact("two minutes")]
    public void Without_it_the_program_is_built_and_works_as_well()
    {
        using WorkDirectory work = new();
        string clone = Path.Combine(work.Top, "clone");
        CommandRunner runner = new(work.Scratch, new Dictionary<string, string> { ["HOLDFAST_NATIVE"] = "no", ["HOLDFAST_STORE"] = work.Store });
        runner.Run(TimeSpan.FromMinutes(1), "git", "clone", "-q", Repository.Root, clone).Required();
        string holdfast = Path.Combine(clone, "holdfast");
        runner.Run(TimeSpan.FromMinutes(10), holdfast, "--version").Required();

        Assert.False(IsMachineCode(Path.Combine(clone, ".build", "app")));
        runner.Run(TimeSpan.FromMinutes(1), holdfast, "run", "--name", "sleeps", "--detach", "--", "sleep", "1000").Required();
        try
        {
            runner.Run(TimeSpan.FromMinutes(1), holdfast, "checkpoint", "sleeps", "--stop").Required();
            runner.Run(TimeSpan.FromMinutes(1), holdfast, "restore", "sleeps", "--detach").Required();
        }
        finally
        {
            runner.Run(TimeSpan.FromMinutes(1), holdfast, "kill", "sleeps");
        }
    }

    private static bool IsMachineCode(string directory) => !File.Exists(Path.Combine(directory, "holdfast.dll"));
}
