namespace Holdfast.Snapshots;

/// <summary>How far a transfer is at its receiver.</summary>
/// <param name="Session">The transfer's name there; empty when the snapshot is there already.</param>
/// <param name="Present">True: the receiver has the snapshot; only its content remains to be compared.</param>
/// <param name="Received">For each lane, how many of its records are stored.</param>
public sealed record TransferStatus(string Session, bool Present, IReadOnlyList<long> Received);
