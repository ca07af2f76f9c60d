using System.Diagnostics;

namespace Holdfast.Kmod.Tests;

/// <summary>What a command said and how it ended.</summary>
public sealed record CommandResult(int Status, string Output, string Errors)
{
    /// <inheritdoc/>
    public override string ToString() => $"status {Status}\n{Output}\n{Errors}";
}

/// <summary>Runs commands, and knows where things are.</summary>
internal static class Shell
{
    /// <summary>The directory that holds Runtime.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The module's sources.</summary>
    public static string Module => Path.Combine(Root, "ckpt-kmod");

    /// <summary>The harness.</summary>
    public static string Harness => Path.Combine(Root, "tests", "vm");

    /// <summary>Runs a program to its end.</summary>
    public static CommandResult Run(string program, params string[] arguments) => Run(null, program, arguments);

    /// <summary>Runs a program to its end, with another PATH when one is given.</summary>
    public static CommandResult Run(string? path, string program, IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        if (path is not null)
        {
            start.Environment["PATH"] = path;
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new CommandResult(process.ExitCode, output, errors.Result);
    }

    /// <summary>Runs a script of the harness in a guest, with Holdfast as it is built now.</summary>
    /// <param name="script">Its name.</param>
    /// <param name="seconds">How long the guest may live.</param>
    /// <param name="machine">Options of the harness, which go before our own.</param>
    /// <param name="options">Options of the script.</param>
    /// <param name="binaries">The directory in which the programs are.</param>
    /// <param name="arguments">What comes behind that.</param>
    public static CommandResult InGuest(string script, int seconds, string[] machine, string[] options, string binaries, string[] arguments)
    {
        CommandResult built = Run(Path.Combine(Root, "holdfast"), "--version");
        Assert.True(built.Status == 0, built.ToString());
        return Run(
            Path.Combine(Harness, "run"),
            ["--memory", "2000", "--timeout", $"{seconds}", .. machine, Path.Combine(Harness, script), .. options, Path.Combine(Root, ".build", "app", "holdfast"), binaries, .. arguments]);
    }

    /// <summary>Compiles state programs into a directory of their own, and hands that on.</summary>
    /// <param name="programs">Their names, with or without a case.</param>
    /// <param name="body">What is done with them.</param>
    public static void WithStatePrograms(IEnumerable<string> programs, Action<string> body)
    {
        string binaries = Directory.CreateTempSubdirectory("holdfast-programs-").FullName;
        try
        {
            CommandResult compiled = Run("sh", [Path.Combine(Root, "tests", "programs", "build.sh"), binaries, .. programs.Select(program => program.Split(':')[0]).Distinct()]);
            Assert.True(compiled.Status == 0, compiled.ToString());
            body(binaries);
        }
        finally
        {
            Directory.Delete(binaries, recursive: true);
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Runtime.sln")))
            {
                return directory.FullName;
            }
        }

        throw new InvalidOperationException($"No Runtime.sln above {AppContext.BaseDirectory}.");
    }
}
