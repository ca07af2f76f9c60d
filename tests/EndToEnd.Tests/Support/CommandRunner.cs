using System.Diagnostics;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>
/// Runs commands with a bound. Output goes to files, not to pipes: what a detached command leaves running may hold its streams
/// open, and reading a pipe to its end would then wait for the application.
/// </summary>
internal sealed class CommandRunner(string scratch, IReadOnlyDictionary<string, string> environment)
{
    // Whatever started the tests may have left descriptors open: they are not part of what is tested.
    private const string Wrapper = """
        for entry in /proc/$BASHPID/fd/*; do number=${entry##*/}; [ "$number" -le 2 ] || eval "exec $number>&-"; done
        exec "$@" </dev/null >"$HOLDFAST_TEST_OUTPUT.out" 2>"$HOLDFAST_TEST_OUTPUT.err"
        """;

    private int _count;

    public CommandResult Run(TimeSpan bound, string file, params IReadOnlyList<string> arguments)
    {
        using var running = Start(file, arguments);
        return running.Finish(bound);
    }

    public RunningCommand Start(string file, IReadOnlyList<string> arguments)
    {
        var stem = Path.Combine(scratch, $"command-{Interlocked.Increment(ref _count)}");
        ProcessStartInfo start = new("/bin/bash")
        {
            UseShellExecute = false,
            WorkingDirectory = scratch,
            ArgumentList = { "-c", Wrapper, "bash", file },
        };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        start.Environment["HOLDFAST_TEST_OUTPUT"] = stem;
        // A .NET program that is killed leaves its debugger's pipes there.
        start.Environment["TMPDIR"] = scratch;
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        var process = Process.Start(start) ?? throw new EndToEndException($"{file} did not start.");
        return new RunningCommand(process, $"{file} {string.Join(' ', arguments)}", stem);
    }
}

/// <summary>A command that runs. Disposing it kills it if it still does.</summary>
internal sealed class RunningCommand(Process process, string commandLine, string stem) : IDisposable
{
    public int Pid => process.Id;

    public bool HasEnded => process.HasExited;

    public CommandResult Finish(TimeSpan bound)
    {
        var ended = process.WaitForExit(bound);
        if (!ended)
        {
            process.Kill();
            process.WaitForExit();
        }

        return new CommandResult(commandLine, process.ExitCode, !ended, Read(".out"), Read(".err"));
    }

    /// <summary>SIGKILL, as a crash would be.</summary>
    public void Kill()
    {
        try
        {
            process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended already.
        }
    }

    public void Dispose()
    {
        Kill();
        process.Dispose();
    }

    private string Read(string suffix) => File.Exists(stem + suffix) ? File.ReadAllText(stem + suffix) : "";
}
