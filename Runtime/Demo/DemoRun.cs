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

    public async Task<DemoJson> RunAsync()
    {
        RequireRights();
        string script = Path.Combine(directory, "sample.sh");
        await File.WriteAllTextAsync(script, Sample(), cancellation).ConfigureAwait(false);

        Say("A shell pipeline, with a pool of four workers that fork tools for every number. It knows nothing of Holdfast.");
        using DemoProcess original = Start("run", "--name", Name, "--", "bash", script);
        await WithinAsync(original, original.Output.LineAsync(LinesBetween)).ConfigureAwait(false);
        Say($"  it has printed {original.Output.Last} lines, each of them right");

        CheckpointJson first = await CheckpointAsync().ConfigureAwait(false);
        await WithinAsync(original, original.Output.LineAsync(original.Output.Last + LinesBetween)).ConfigureAwait(false);
        long atLeast = original.Output.Last;
        CheckpointJson second = await CheckpointAsync().ConfigureAwait(false);
        long seen = original.Output.Last;
        await WithinAsync(original, original.Output.LineAsync(seen + LinesBetween)).ConfigureAwait(false);

        int killed = KillEverything();
        long lost = original.Output.Last;
        Say($"SIGKILL to all {killed} processes and to their supervisor, after line {lost}.");

        using DemoProcess again = Start("restore", Name);
        RestoreJson restored = await RestoredAsync(again).ConfigureAwait(false);
        Say($"  {DetachedText(restored)}");
        await WithinAsync(again, again.Output.LineAsync(1)).ConfigureAwait(false);
        long resumedAt = again.Output.First;
        await WithinAsync(again, again.Output.LineAsync(lost + LinesBetween)).ConfigureAwait(false);
        Say($"  it went on with line {resumedAt}, as the snapshot had it, and has come to line {again.Output.Last}, each of them right");
        long linesAfter = again.Output.Lines;
        await CommandAsync(OutputJson.Default.EndedJson, "kill", Name).ConfigureAwait(false);
        if (resumedAt <= atLeast || resumedAt > lost)
        {
            throw new HoldfastException("demo.wrong", $"the restored application went on with line {resumedAt}; the snapshot was taken after line {atLeast} and before line {lost}");
        }

        Say(string.Create(
            CultureInfo.InvariantCulture,
            $"Cost: frozen {first.FreezeMs:0.0} and {second.FreezeMs:0.0} ms, checkpoints {first.TotalMs:0.0} and {second.TotalMs:0.0} ms, {Output.Bytes(second.BytesStored)} stored; restored in {restored.ResumeMs:0.0} ms."));
        return new DemoJson(
            "bash pipeline, 4 workers", second.Processes, second.Threads, second.TotalMs, second.FreezeMs, second.BytesStored, restored.ResumeMs,
            lost, resumedAt, linesAfter);
    }

    /// <summary>Kills what may still run, whatever happened before.</summary>
    public void CleanUp()
    {
        try
        {
            KillEverything();
            using Store store = new(_store);
            Supervision.Remains.Remove(session, store.Existing(Name).Record);
        }
        catch (HoldfastException)
        {
            // It never ran.
        }
    }

    private static string DetachedText(RestoreJson r) =>
        $"restored {r.Snapshot}: {Output.ProcessesAndThreads(r.Processes, r.Threads)}, running again after {Output.Milliseconds(r.ResumeMs)} ({Output.Bytes(r.BytesRead)} read)";

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

    /// <summary>Waits for the sample, but neither for ever nor beyond its end.</summary>
    private async Task WithinAsync(DemoProcess process, Task awaited)
    {
        try
        {
            await awaited.WaitAsync(Patience, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            throw new HoldfastException("demo.stalled", $"nothing new came for {Patience.TotalSeconds} s, after line {process.Output.Last}", ExitStatus.TimedOut, e);
        }
        catch (HoldfastException e) when (e.Code == "demo.ended")
        {
            string said = (await process.ErrorsAsync().ConfigureAwait(false)).Replace("holdfast: ", "").Trim();
            throw new HoldfastException("demo.failed", said.Length > 0 ? $"{e.Message}: {said}" : e.Message, ExitStatus.Failed, e);
        }
    }

    private async Task<RestoreJson> RestoredAsync(DemoProcess process)
    {
        string? line = await process.ErrorLineAsync().WaitAsync(Patience, cancellation).ConfigureAwait(false);
        try
        {
            return JsonSerializer.Deserialize(line ?? "", OutputJson.Default.RestoreJson)!;
        }
        catch (JsonException e)
        {
            throw new HoldfastException("demo.failed", $"'holdfast restore' failed: {(line ?? "it said nothing").Replace("holdfast: ", "")}", ExitStatus.Failed, e);
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
        SayCommand(arguments);
        using Process process = Process.Start(StartInfo(arguments))!;
        process.StandardInput.Close();
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

    private DemoProcess Start(params string[] arguments)
    {
        SayCommand(arguments);
        return new DemoProcess(StartInfo(arguments));
    }

    private ProcessStartInfo StartInfo(string[] arguments)
    {
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

        return start;
    }

    private void SayCommand(string[] arguments) =>
        Say($"$ holdfast {string.Join(' ', arguments.Select(a => a.StartsWith(directory, StringComparison.Ordinal) ? Path.GetFileName(a) : a))}");

    private void Say(string text)
    {
        if (!session.Output.Json && !session.Output.Quiet)
        {
            session.Output.Text(text);
        }
    }
}
