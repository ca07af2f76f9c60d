using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>A running application that does as a test says.</summary>
internal sealed class FakeApplication : IRunningApplication
{
    private readonly TaskCompletionSource<int> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ApplicationTarget Target { get; } = new(ApplicationScope.Space, 100, 1, "boot");

    public int MainPid => 101;

    public Task<int> Exited => _exited.Task;

    public List<int> Signals { get; } = [];

    public int Kills { get; private set; }

    public bool Kept { get; private set; }

    public bool Disposed { get; private set; }

    /// <summary>What a signal does to it.</summary>
    public Action<int> OnSignal { get; set; } = _ => { };

    /// <summary>Runs before it is killed.</summary>
    public Action OnKill { get; set; } = () => { };

    public void Exit(int status) => _exited.TrySetResult(status);

    public void Signal(int signal)
    {
        Signals.Add(signal);
        OnSignal(signal);
    }

    public void Keep() => Kept = true;

    public void Kill()
    {
        OnKill();
        Kills++;
        Exit(137);
    }

    public void Dispose() => Disposed = true;
}
