namespace Holdfast.Snapshots;

/// <summary>A place that keeps whole files under keys, such as a bucket.</summary>
public interface IBlobContainer : IAsyncDisposable
{
    /// <summary>What people call it.</summary>
    string Name { get; }

    /// <summary>What is under the keys that begin so. What was stored or removed before is seen as it is then.</summary>
    IAsyncEnumerable<Blob> ListAsync(string prefix, CancellationToken cancel);

    /// <summary>Stores a file under a key, replacing what is there. It is there whole, or not at all.</summary>
    Task PutAsync(string key, string file, CancellationToken cancel);

    /// <summary>Fetches what is under a key into a new file.</summary>
    /// <returns>False when there is nothing.</returns>
    Task<bool> TryGetAsync(string key, string file, CancellationToken cancel);

    /// <summary>Removes what is under a key. Does nothing when there is nothing.</summary>
    Task DeleteAsync(string key, CancellationToken cancel);
}

/// <summary>One file in a container.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Modified">When it was stored, by the container's clock.</param>
public readonly record struct Blob(string Key, long Size, DateTimeOffset Modified);
