using System.Diagnostics;
using System.Text.Json;

namespace Holdfast.Checkpoint.Bench;

/// <summary>Runs holdfast commands on a store, with their results as JSON.</summary>
internal sealed class HoldfastCommand
{
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(5);
    private readonly string _program;
    private readonly string _directory;
    private readonly string _configuration;

    /// <summary>Finds the program, and has it built where it is this repository's.</summary>
    /// <param name="program">The program, or null for this repository's.</param>
    /// <param name="directory">Where the store and the commands' output go.</param>
    /// <param name="configuration">What is configured otherwise than by default.</param>
    public HoldfastCommand(string? program, string directory, string configuration)
    {
        _directory = directory;
        _configuration = Path.Combine(directory, "holdfast.conf");
        File.WriteAllText(_configuration, configuration);
        if (program is null)
        {
            string script = Path.Combine(Root(), "holdfast");
            _program = script;
            Call(["--version"]);

            // What an installed one is: without the search for changed sources that the script makes at each start.
            program = Path.Combine(Root(), ".build", "app", "holdfast");
        }

        _program = program;
    }

    private string Store => Path.Combine(_directory, "store");

    /// <summary>Runs a command.</summary>
    /// <returns>What it printed, and its wall-clock time from start to end in milliseconds.</returns>
    /// <exception cref="BenchException">It failed.</exception>
    public (JsonElement Answer, double WallMs) Run(string command, params IReadOnlyList<string> arguments)
    {
        (string output, double wall) = Call([command, "--store", Store, "-o", "json", .. arguments]);
        using JsonDocument document = JsonDocument.Parse(output);
        return (document.RootElement.Clone(), wall);
    }

    /// <summary>Starts a command and does not wait for its end.</summary>
    public Process Start(IReadOnlyList<string> words) => Begin([words[0], "--store", Store, "-o", "json", .. words.Skip(1)]).Process;

    /// <summary>Waits until the memory of an application is loaded after a lazy restore.</summary>
    public void AwaitLoaded(string name)
    {
        long begun = Stopwatch.GetTimestamp();
        while (Run("show", name).Answer.GetProperty("loading").ValueKind != JsonValueKind.Null)
        {
            if (Stopwatch.GetElapsedTime(begun) > Bound)
            {
                throw new BenchException($"the memory of {name} is not loaded after {Bound.TotalMinutes} minutes");
            }

            Thread.Sleep(5);
        }
    }

    private (string Output, double WallMs) Call(IReadOnlyList<string> arguments)
    {
        long begun = Stopwatch.GetTimestamp();
        (Process started, string output, string errors) = Begin(arguments);
        using Process process = started;
        if (!process.WaitForExit(Bound))
        {
            process.Kill();
            throw new BenchException($"'holdfast {arguments[0]}' was not done within {Bound.TotalMinutes} minutes");
        }

        double wall = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        return process.ExitCode == 0
            ? (File.ReadAllText(output), wall)
            : throw new BenchException($"'holdfast {arguments[0]}' ended with {process.ExitCode}: {File.ReadAllText(errors).Trim()}{File.ReadAllText(output).Trim()}");
    }

    private (Process Process, string Output, string Errors) Begin(IReadOnlyList<string> arguments)
    {
        // Output goes to files: what runs on in the background may hold a pipe open.
        string output = Path.Combine(_directory, "output");
        string errors = Path.Combine(_directory, "errors");
        ProcessStartInfo start = new("/bin/sh")
        {
            WorkingDirectory = "/",
            ArgumentList = { "-c", "out=$1 err=$2; shift 2; exec \"$@\" </dev/null >\"$out\" 2>\"$err\"", "sh", output, errors, _program },
        };
        start.Environment["HOLDFAST_CONFIG"] = _configuration;
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return (Process.Start(start) ?? throw new BenchException("/bin/sh did not start"), output, errors);
    }

    private static string Root()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Runtime.sln")))
            {
                return at.FullName;
            }
        }

        throw new BenchException($"{AppContext.BaseDirectory} is in no repository of Holdfast; name the program with --holdfast");
    }
}
