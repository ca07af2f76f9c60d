namespace Holdfast.Snapshots;

/// <summary>A stream of a snapshot.</summary>
/// <param name="Name">Its name, such as <c>mem/7</c>.</param>
/// <param name="Bytes">Bytes of its runs.</param>
/// <param name="Extents">Entries of its extent table.</param>
public sealed record StreamInfo(string Name, long Bytes, long Extents);
