namespace Holdfast.Snapshots;

/// <summary>What is noted for the catalogue.</summary>
internal enum StoreEvent
{
    Committed = 'C',
    Forgotten = 'F',
}
