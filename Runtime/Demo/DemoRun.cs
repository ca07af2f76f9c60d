using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Demo;

/// <summary>
/// The main job, shown with this program's own commands: run, two checkpoints, SIGKILL to everything, restore. What the sample prints
/// afterwards is compared with what it has to print.
/// </summary>
internal sealed class DemoRun(Session session, string directory, CancellationToken cancellation)
{
    private const string Name = "demo";
    private const int LinesBetween = 400;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly string _store = Path.Combine(directory, "store");
    private readonly string _firstLog = Path.Combine(directory, "before.log");
    private readonly string _secondLog = Path.Combine(directory, "after.log");

    public async Task<DemoJson> RunAsync()
    {
        RequireRights();
        string script = Path.Combine(directory, "sample.sh");
        await File.WriteAllTextAsync(script, Sample(), cancellation).ConfigureAwait(false);

        Say("A shell pipeline with a pool of four workers that fork tools for every number; it knows nothing of Holdfast:");
        StartedJson started = await CommandAsync(OutputJson.Default.StartedJson, "run", "--name", Name, "--detach", "--log", _firstLog, "--", "bash", script).ConfigureAwait(false);
        await LinesAsync(_firstLog, LinesBetween).ConfigureAwait(false);
        Say($"  it runs (pid {started.Pid}) and has printed {DemoOutput.Read(_firstLog).Last} lines, each of them right");

        CheckpointJson first = await CheckpointAsync().ConfigureAwait(false);
        await LinesAsync(_firstLog, DemoOutput.Read(_firstLog).Last + LinesBetween).ConfigureAwait(false);
        long atLeast = DemoOutput.Read(_firstLog).Last;
        CheckpointJson second = await CheckpointAsync().ConfigureAwait(false);
        long atMost = DemoOutput.Read(_firstLog).Last;
        await LinesAsync(_firstLog, atMost + LinesBetween).ConfigureAwait(false);

        int killed = KillEverything();
        DemoOutput before = DemoOutput.Read(_firstLog);
        Say($"SIGKILL to all {killed} processes and to their supervisor, after line {before.Last}.");

        RestoreJson restored = await CommandAsync(OutputJson.Default.RestoreJson, "restore", Name, "--detach", "--log", _secondLog).ConfigureAwait(false);
        await LinesAsync(_secondLog, 1).ConfigureAwait(false);
        long resumedAt = DemoOutput.Read(_secondLog).First;
        await LinesAsync(_secondLog, resumedAt + LinesBetween).ConfigureAwait(false);
        DemoOutput after = DemoOutput.Read(_secondLog);
        bool continued = resumedAt > atLeast && resumedAt <= atMost + 1;
        Say($"  {DetachedText(restored)}");
        Say($"  it went on with line {after.First}, where the snapshot had it (between {atLeast + 1} and {atMost + 1}), and has printed {after.Lines} more, each of them right");
        await CommandAsync(OutputJson.Default.EndedJson, "kill", Name).ConfigureAwait(false);
        if (!continued)
        {
            throw new HoldfastException("demo.wrong", $"the restored application went on with line {resumedAt}; the snapshot was taken between {atLeast + 1} and {atMost + 1}");
        }

        Say(string.Create(
            CultureInfo.InvariantCulture,
            $"Cost: frozen {first.FreezeMs:0.0} and {second.FreezeMs:0.0} ms, checkpoints {first.TotalMs:0.0} and {second.TotalMs:0.0} ms, {Output.Bytes(second.BytesStored)} stored; restored in {restored.ResumeMs:0.0} ms."));
        return new DemoJson(
            "bash pipeline, 4 workers", second.Processes, second.Threads, second.TotalMs, second.FreezeMs, second.BytesStored, restored.ResumeMs, before.Lines, after.Lines, continued);
    }

    /// <summary>Kills what may still run, whatever happened before.</summary>
    public void CleanUp()
    {
        try
        {
            KillEverything();
        }
        catch (HoldfastException)
        {
            // It never ran.
        }
    }

    private static string DetachedText(RestoreJson r) =>
        $"restored {r.Snapshot}: {r.Processes} processes, {r.Threads} threads, running again after {Output.Milliseconds(r.ResumeMs)} ({Output.Bytes(r.BytesRead)} read)";

    private static string Sample()
    {
        using Stream stream = typeof(DemoRun).Assembly.GetManifestResourceStream("demo.sh")!;
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    private void RequireRights()
    {
        List<CheckRow> lacking = [.. session.Bridge.CheckHost().Where(r => r.Verdict == CheckVerdict.No)];
        if (lacking.Count > 0)
        {
            throw new HoldfastException(
                lacking[0].Code.Length > 0 ? lacking[0].Code : "not_permitted",
                string.Join('\n', lacking.Select(r => $"{r.Subject}: {r.What}; {r.Remedy}")), ExitStatus.NotPermitted);
        }
    }

    private async Task<CheckpointJson> CheckpointAsync()
    {
        CheckpointJson taken = await CommandAsync(OutputJson.Default.CheckpointJson, "checkpoint", Name).ConfigureAwait(false);
        Say($"  {Cli.Commands.CheckpointCommand.Text(taken)}");
        return taken;
    }

    private async Task LinesAsync(string log, long number)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (!File.Exists(log) || DemoOutput.Read(log).Last < number)
        {
            if (TimeProvider.System.GetElapsedTime(began) > Patience)
            {
                throw new HoldfastException("demo.stalled", $"the sample printed nothing new for {Patience.TotalSeconds} s; it should have come to line {number}", ExitStatus.TimedOut);
            }

            await Task.Delay(Poll, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>SIGKILL to the supervisor first, so that nobody tidies up, then to every process, then to the init of the space.</summary>
    private int KillEverything()
    {
        using Store store = new(_store);
        (_, ApplicationRecord record) = store.Existing(Name);
        if (!ApplicationDirectory.Runs(record))
        {
            return 0;
        }

        _ = Libc.kill(record.SupervisorPid, Libc.SIGKILL);
        List<int> processes = Host.Descendants(record.Target.RootPid);
        foreach (int pid in processes)
        {
            _ = Libc.kill(pid, Libc.SIGKILL);
        }

        _ = Libc.kill(record.Target.RootPid, Libc.SIGKILL);
        long began = TimeProvider.System.GetTimestamp();
        while (ApplicationDirectory.Runs(record) && TimeProvider.System.GetElapsedTime(began) < Patience)
        {
            Thread.Sleep(Poll);
        }

        return processes.Count;
    }

    private async Task<T> CommandAsync<T>(JsonTypeInfo<T> type, params string[] arguments)
    {
        Say($"$ holdfast {string.Join(' ', arguments.Select(a => a.StartsWith(directory, StringComparison.Ordinal) ? Path.GetFileName(a) : a))}");
        ProcessStartInfo start = new(Environment.ProcessPath!)
        {
            RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, WorkingDirectory = directory,
        };
        if (Path.GetFileNameWithoutExtension(start.FileName) == "dotnet")
        {
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "holdfast.dll"));
        }

        foreach (string argument in (string[])["--store", _store, "-o", "json", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(cancellation);
        Task<string> errors = process.StandardError.ReadToEndAsync(cancellation);
        string text = await output.ConfigureAwait(false);
        string error = await errors.ConfigureAwait(false);
        await process.WaitForExitAsync(cancellation).ConfigureAwait(false);
        if (process.ExitCode != 0)
        {
            throw new HoldfastException("demo.failed", $"'holdfast {arguments[0]}' ended with {process.ExitCode}: {error.Replace("holdfast: ", "").Trim()}", process.ExitCode);
        }

        return JsonSerializer.Deserialize(text, type)!;
    }

    private void Say(string text)
    {
        if (!session.Output.Json && !session.Output.Quiet)
        {
            session.Output.Text(text);
        }
    }
}
