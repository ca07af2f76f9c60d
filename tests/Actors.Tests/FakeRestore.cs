using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>A restore that builds nothing, and knows on which thread it was used.</summary>
internal sealed class FakeRestore(FakeBridge bridge, RestoreRequest request) : IRestore
{
    private readonly int _thread = Environment.CurrentManagedThreadId;

    public List<string> Steps { get; } = [];

    public bool OneThread { get; private set; } = true;

    public bool Runs { get; private set; }

    /// <summary>Disposed before it ran: what was built is gone.</summary>
    public bool Removed { get; private set; }

    public bool Disposed { get; private set; }

    public ApplicationImage Image => TestImage.OneProcess;

    public IMemoryLoading? Loading => request.Lazy ? bridge.Loading : null;

    public IReadOnlyList<Refusal> Check()
    {
        Step("Check");
        return bridge.RestoreRefusals;
    }

    public void BuildProcesses() => Step("BuildProcesses");

    public void BuildResources() => Step("BuildResources");

    public void FillMemory()
    {
        Step("FillMemory");
        foreach (PageRun run in request.Pages.Runs("mem/1"))
        {
            request.Pages.Read("mem/1", run.Offset, new byte[run.Length]);
        }
    }

    public void BuildThreads() => Step("BuildThreads");

    public void Verify() => Step("Verify");

    public IRunningApplication Run()
    {
        Step("Run");
        Runs = true;
        return bridge.Application;
    }

    public void Dispose()
    {
        OneThread &= Environment.CurrentManagedThreadId == _thread;
        Disposed = true;
        Removed = !Runs;
    }

    private void Step(string step)
    {
        OneThread &= Environment.CurrentManagedThreadId == _thread;
        Steps.Add(step);
        bridge.Call(step, 0);
    }
}
