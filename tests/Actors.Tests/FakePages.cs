using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>A source with two pages in every stream.</summary>
internal sealed class FakePages : IPageSource
{
    public IReadOnlyList<PageRun> Runs(string stream) => [new PageRun(0, 8192)];

    public void Read(string stream, long offset, Span<byte> into)
    {
    }
}
