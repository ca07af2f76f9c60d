using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>Memory that is loaded as far as a test says.</summary>
internal sealed class FakeLoading : IMemoryLoading
{
    private readonly SemaphoreSlim _changed = new(0);
    private volatile Exception? _failure;
    private volatile bool _complete;

    public LoadingProgress Progress => _complete ? new LoadingProgress(10, 10, 1) : new LoadingProgress(3, 10, 1);

    public bool Hurried { get; private set; }

    public bool Disposed { get; private set; }

    /// <summary>Called at each step.</summary>
    public Action OnStep { get; set; } = () => { };

    public void Hurry() => Hurried = true;

    public bool Step(TimeSpan wait)
    {
        OnStep();
        _changed.Wait(wait);
        return _failure is { } failure ? throw failure : _complete;
    }

    public void Complete()
    {
        _complete = true;
        _changed.Release();
    }

    public void Fail(Exception cause)
    {
        _failure = cause;
        _changed.Release();
    }

    public void Dispose() => Disposed = true;
}
