namespace Holdfast.Snapshots;

/// <summary>A place that keeps whole files under keys, such as a bucket.</summary>
public interface IBlobContainer : IAsyncDisposable
{
    /// <summary>What people call it.</summary>
    string Name { get; }

    /// <summary>The keys that begin so, with their sizes in bytes.</summary>
    IAsyncEnumerable<(string Key, long Size)> ListAsync(string prefix, CancellationToken cancel);

    /// <summary>Stores a file under a key, replacing what is there. It is there whole, or not at all.</summary>
    Task PutAsync(string key, string file, CancellationToken cancel);

    /// <summary>Fetches what is under a key into a new file.</summary>
    /// <returns>False when there is nothing.</returns>
    Task<bool> TryGetAsync(string key, string file, CancellationToken cancel);
}
