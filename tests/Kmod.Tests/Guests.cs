using System.Text.RegularExpressions;

namespace Holdfast.Kmod.Tests;

/// <summary>
/// One run of everything on every kernel, both at the same time: the module is built with every warning and sparse, a machine is booted,
/// the programs of tests/vm/programs, the client and the fuzzer run in it.
/// </summary>
public sealed partial class Guests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("holdfast-kmod-").FullName;
    private readonly Dictionary<string, Guest> guests = [];

    /// <summary>Builds and runs; does nothing where that is not possible.</summary>
    public Guests()
    {
        if (Kernels.WhyNot is not null)
        {
            return;
        }

        string sources = Path.Combine(Shell.Harness, "programs");
        string[] tests = [.. Directory.GetFiles(sources, "*.c").Where(file => Path.GetFileName(file) != "fuzz.c")];
        Compile("ckpt-tests", tests);
        Compile("fuzz", Path.Combine(sources, "fuzz.c"));
        Compile("ckpt-session", Path.Combine(Shell.Module, "examples", "ckpt-session.c"));
        Task<(string Kernel, Guest Guest)>[] runs = [.. Kernels.All.Select(kernel => Task.Run(() => (kernel, Run(kernel))))];
        foreach (Task<(string Kernel, Guest Guest)> run in runs)
        {
            guests[run.Result.Kernel] = run.Result.Guest;
        }
    }

    /// <summary>The names of the tests, as they stand in their sources.</summary>
    public static IEnumerable<string> Names =>
        Directory.GetFiles(Path.Combine(Shell.Harness, "programs"), "*.c").Order().SelectMany(file => TestName().Matches(File.ReadAllText(file)).Select(match => match.Groups[1].Value));

    private static bool Long => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    internal Guest this[string kernel] => guests[kernel];

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(directory, recursive: true);

    /// <summary>The same programs in a kernel that has the module built in, and looks for whatever is wrong in it: KASAN, lockdep, kmemleak.</summary>
    /// <param name="fuzzed">For how long, in seconds.</param>
    internal CommandResult RunBuiltIn(int fuzzed)
    {
        string script = Script("1", Environment.TickCount & 0xffffff, fuzzed);
        return Shell.Run(Path.Combine(Shell.Harness, "run"), "--kernel", "debug", "--memory", "2500", "--timeout", $"{fuzzed + 1800}", "sh", "-c", script);
    }

    private string Script(string repeat, int seed, int fuzzed) =>
        $"status=0; for i in {repeat}; do {directory}/ckpt-tests || status=1; done; dotnet {typeof(Guests).Assembly.Location} || status=1; {directory}/fuzz {seed} {fuzzed} || status=1; exit $status";

    private void Compile(string name, params string[] sources)
    {
        CommandResult result = Shell.Run("cc", ["-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o", Path.Combine(directory, name), .. sources]);
        Assert.True(result.Status == 0, result.ToString());
    }

    private Guest Run(string kernel)
    {
        string module = Path.Combine(directory, kernel);
        CommandResult built = Shell.Run(Path.Combine(Shell.Module, "build"), Path.Combine(Kernels.Directory(kernel), "build"), module, "C=2");
        Assert.True(built.Status == 0, built.ToString());
        int seed = Environment.TickCount & 0xffffff;
        (int seconds, string repeat) = Long ? (3600, "1 2 3 4 5") : (12, "1");
        string script = Script(repeat, seed, seconds);
        CommandResult run = Shell.Run(
            Path.Combine(Shell.Harness, "run"), "--kernel", kernel, "--module", Path.Combine(module, "ckpt.ko"), "--cmdline", Long ? "slub_debug=FZPU" : "", "--timeout", $"{seconds + (Long ? 1800 : 300)}", "sh", "-c", script);
        return new Guest(built, run, seed);
    }

    [GeneratedRegex(@"^TEST\((\w+)\)", RegexOptions.Multiline)]
    private static partial Regex TestName();
}

/// <summary>What building for and running on one kernel said.</summary>
internal sealed record Guest(CommandResult Build, CommandResult Run, int Seed)
{
    /// <summary>Asserts that a line says "pass NAME" and none "fail NAME".</summary>
    public void AssertPassed(string name)
    {
        string[] lines = [.. Run.Output.Split('\n').Where(line => line == $"pass {name}" || line.StartsWith($"pass {name} ") || line.StartsWith($"fail {name}:"))];
        Assert.True(lines.Length > 0 && lines.All(line => line.StartsWith("pass ")), lines.Length == 0 ? $"{name} was not run: {Run}" : string.Join('\n', lines));
    }
}
