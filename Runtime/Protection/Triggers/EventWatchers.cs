using System.ComponentModel;
using System.Diagnostics;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Protection.Triggers;

/// <summary>Whether a file, or what a link leads to, was written, replaced, made or removed since the last look.</summary>
internal sealed class FileWatcher(string path) : ITriggerWatcher
{
    private FileStamp? _before;
    private bool _looked;

    public Task<TriggerObservation> ObserveAsync()
    {
        FileStamp? now = FileStamp.Of(path);
        bool changed = _looked && now != _before;
        _before = now;
        _looked = true;
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
