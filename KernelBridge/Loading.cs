namespace Holdfast.KernelBridge;

/// <summary>Where the pages of an application that still lacks some come from.</summary>
/// <param name="Image">The image that it was restored from.</param>
/// <param name="Pages">The pages of the same snapshot.</param>
public sealed record LoadingSource(ReadOnlyMemory<byte> Image, IPageSource Pages)
{
    /// <summary>Bytes a second that are loaded without being asked for, at most; null for no limit.</summary>
    public long? Rate { get; init; }
}

/// <summary>How far the memory of an application is loaded.</summary>
/// <param name="Loaded">Bytes that are in place.</param>
/// <param name="Total">Bytes that are to come in all.</param>
/// <param name="Faults">How often somebody had to wait for a page.</param>
public readonly record struct LoadingProgress(long Loaded, long Total, long Faults)
{
    /// <summary>0 to 100; 100 only when nothing is missing.</summary>
    public int Percent => Loaded >= Total ? 100 : (int)Math.Min(99, Loaded * 100 / Total);
}

/// <summary>
/// Loads the memory of an application that was restored lazily: what it waits for first, then the rest. Disposed before the end, or dead, it leaves the
/// application to wait for those pages until somebody else goes on (<see cref="IKernelBridge.ContinueLoading"/>); no page is ever taken for zeros.
/// </summary>
public interface IMemoryLoading : IDisposable
{
    /// <summary>How far it is. From any thread.</summary>
    LoadingProgress Progress { get; }

    /// <summary>From now on without the limit of <see cref="LoadingSource.Rate"/>. From any thread.</summary>
    void Hurry();

    /// <summary>Does a bounded part of the work, or waits for some. From one thread at a time.</summary>
    /// <param name="wait">How long it waits at most when there is nothing to do.</param>
    /// <returns>True when nothing is missing any more, and nothing is left of the means.</returns>
    /// <exception cref="IOException">The snapshot cannot be read: says where. The application must be ended.</exception>
    /// <exception cref="BridgeException">The application has ended (<c>init.gone</c>), or its memory cannot be filled (<c>lazy.failed</c>).</exception>
    bool Step(TimeSpan wait);
}
