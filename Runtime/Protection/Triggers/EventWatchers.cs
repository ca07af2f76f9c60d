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
        int? status;
        try
        {
            status = await BoundedProcess.RunAsync(new ProcessStartInfo("/bin/sh", ["-c", command]), limit, _ => { }, _ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            status = null;
        }

        if (status is null)
        {
            throw new TimeoutException($"'{command}' did not end within {limit.TotalSeconds:0.#} s");
        }

        return status == exitStatus ? TriggerObservation.Event : TriggerObservation.Nothing;
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
