namespace Holdfast.Snapshots;

/// <summary>What a repair did.</summary>
/// <param name="Healed">Snapshots that are whole again.</param>
/// <param name="Failed">Snapshots that stay damaged, with the reason.</param>
/// <param name="BytesFetched">Bytes of content that came from the other device.</param>
public sealed record RepairReport(IReadOnlyList<string> Healed, IReadOnlyList<(string Snapshot, string Reason)> Failed, long BytesFetched);
