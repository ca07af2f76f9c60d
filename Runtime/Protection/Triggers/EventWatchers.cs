using System.ComponentModel;
using System.Diagnostics;
using Holdfast.Actors.Protection;

namespace Holdfast.Runtime.Protection.Triggers;

/// <summary>Whether a file, or what a link leads to, was written, replaced, made or removed since the last look.</summary>
internal sealed class FileWatcher(string path) : ITriggerWatcher
{
    private (bool Exists, long Written, long Changed, long Length)? _before;

    public Task<TriggerObservation> ObserveAsync()
    {
        FileInfo file = new(path);
        if (file.LinkTarget is not null && file.ResolveLinkTarget(true) is FileInfo target)
        {
            file = target;
        }

        // The time of its birth tells a file that was replaced by one of the same age and size.
        (bool, long, long, long) now = file.Exists ? (true, file.LastWriteTimeUtc.Ticks, file.CreationTimeUtc.Ticks, file.Length) : default;
        bool changed = _before is { } before && before != now;
        _before = now;
        return Task.FromResult(changed ? TriggerObservation.Event : TriggerObservation.Nothing);
    }

    public void PointTaken()
    {
    }

    public void Dispose()
    {
    }
}

/// <summary>Runs a command line by the shell and compares its exit status. One that outlasts its turn is killed and says nothing.</summary>
internal sealed class ProgramWatcher(string command, int exitStatus, TimeSpan limit) : ITriggerWatcher
{
    private readonly CancellationTokenSource _ended = new();

    public async Task<TriggerObservation> ObserveAsync()
    {
        ProcessStartInfo start = new("/bin/sh", ["-c", command]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start) ?? throw new Win32Exception($"{command} cannot be run");
        using CancellationTokenSource limited = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
        limited.CancelAfter(limit);
        try
        {
            process.StandardInput.Close();
            process.OutputDataReceived += (_, _) => { };
            process.ErrorDataReceived += (_, _) => { };
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            await process.WaitForExitAsync(limited.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            process.Kill(true);
            throw new TimeoutException($"'{command}' did not end within {limit.TotalSeconds:0.#} s");
        }

        return process.ExitCode == exitStatus ? TriggerObservation.Event : TriggerObservation.Nothing;
    }

    public void PointTaken()
    {
    }

    public void Dispose()
    {
        _ended.Cancel();
        _ended.Dispose();
    }
}
