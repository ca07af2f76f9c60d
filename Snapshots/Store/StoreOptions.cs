namespace Holdfast.Snapshots;

/// <summary>How a store is opened.</summary>
public sealed record StoreOptions
{
    /// <summary>True (the default): a store is made where there is none. False: that is an error.</summary>
    public bool Create { get; init; } = true;

    /// <summary>The key of an encrypted store. When the store is made, it is made encrypted if a key is given.</summary>
    public StoreKey? Key { get; init; }

    /// <summary>The most bytes that the store's packs may take; null: no limit. A snapshot that would exceed it is refused (<c>store.quota</c>).</summary>
    public long? Quota { get; init; }

    /// <summary>Bytes of the device that the store leaves free: a snapshot that would go below is refused (<c>store.full</c>) before the device is full.</summary>
    public long MinimumFree { get; init; } = 32 * 1024 * 1024;

    /// <summary>Where the time comes from.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
