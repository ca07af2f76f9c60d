using System.Diagnostics;
using System.Text.Json;

namespace Holdfast.Runtime.Tests;

/// <summary>What a command printed and how it ended.</summary>
internal sealed record Outcome(int Status, string Output, string Errors)
{
    public JsonElement Json => JsonDocument.Parse(Output).RootElement;

    public IReadOnlyList<JsonElement> JsonLines => [.. Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement)];

    public Outcome Succeeds()
    {
        Assert.True(Status == 0, $"ended with {Status}: {Errors}{Output}");
        return this;
    }
}

/// <summary>The built program with a store of its own; whatever still runs in it is killed in the end.</summary>
internal sealed class HoldfastProgram : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    public string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("holdfast-test-").FullName;

    public string Store => Path.Combine(Directory, "store");

    public Dictionary<string, string> Environment { get; } = [];

    /// <summary>As users start it: HOLDFAST_BIN, else the wrapper at the root of the repository, which builds what has changed.</summary>
    public static string Executable { get; } = System.Environment.GetEnvironmentVariable("HOLDFAST_BIN") is { Length: > 0 } chosen ? chosen : Wrapper();

    public Outcome Run(params string[] arguments) => RunWithInput("", arguments);

    public Outcome RunWithInput(string input, params string[] arguments)
    {
        using Process process = Start(arguments);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(true);
            Assert.Fail($"holdfast {string.Join(' ', arguments)} did not end: {errors.Result}");
        }

        return new Outcome(process.ExitCode, output.Result, errors.Result);
    }

    public Process Start(params string[] arguments)
    {
        ProcessStartInfo start = new(Executable) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Directory };
        start.Environment["HOLDFAST_STORE"] = Store;
        foreach ((string name, string value) in Environment)
        {
            start.Environment[name] = value;
        }

        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    /// <summary>Waits until something holds.</summary>
    public static void Until(Func<bool> condition, string what)
    {
        long began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, $"never came: {what}");
            Thread.Sleep(10);
        }
    }

    public string File(string name) => Path.Combine(Directory, name);

    /// <summary>The last complete line of a file as a number; -1 while there is none.</summary>
    public static long LastNumber(string path)
    {
        string text = System.IO.File.Exists(path) ? System.IO.File.ReadAllText(path) : "";
        string[] lines = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return lines.Length == 0 ? -1 : long.Parse(lines[^1]);
    }

    public void Dispose()
    {
        if (System.IO.Directory.Exists(Store))
        {
            foreach (JsonElement application in Run("-o", "json", "list").JsonLines.Where(a => a.TryGetProperty("state", out JsonElement state) && state.GetString() == "running"))
            {
                Run("kill", application.GetProperty("name").GetString()!);
            }
        }

        System.IO.Directory.Delete(Directory, true);
    }

    private static string Wrapper()
    {
        DirectoryInfo root = new(AppContext.BaseDirectory);
        while (!System.IO.File.Exists(Path.Combine(root.FullName, "Runtime.sln")))
        {
            root = root.Parent ?? throw new InvalidOperationException($"No Runtime.sln above {AppContext.BaseDirectory}.");
        }

        return Path.Combine(root.FullName, "holdfast");
    }
}
