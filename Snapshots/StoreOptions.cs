namespace Holdfast.Snapshots;

/// <summary>How a store is opened.</summary>
public sealed record StoreOptions
{
    /// <summary>True (the default): a store is made where there is none. False: that is an error.</summary>
    public bool Create { get; init; } = true;

    /// <summary>Where the time comes from.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
