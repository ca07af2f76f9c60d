namespace Holdfast.Actors.Protection;

/// <summary>What is wanted on a device.</summary>
/// <param name="Device">The device, as the policy names it.</param>
/// <param name="BytesPerSecond">Bytes per second that are sent at most; null: as many as go.</param>
/// <param name="Encrypted">Whether a rule requires encryption.</param>
/// <param name="Choose">Given the object's snapshots that are there: which are to be sent, and which no rule needs there any more.</param>
public sealed record CopyOrder(string Device, long? BytesPerSecond, bool Encrypted, Func<IReadOnlyList<StoredSnapshot>, CopyChoice> Choose);

/// <summary>What a device lacks and what it need not have.</summary>
/// <param name="Send">The ids of the snapshots to be sent.</param>
/// <param name="Remove">The ids of those that can be removed there.</param>
public sealed record CopyChoice(IReadOnlyList<string> Send, IReadOnlyList<string> Remove);

/// <summary>What is on a device after a try to bring the copies there.</summary>
/// <param name="Before">The ids of the object's snapshots that were there before; null when that is not known.</param>
/// <param name="Present">The ids of those that are there now; null when that is not known.</param>
/// <param name="Trouble">What kept it from being complete, or null.</param>
public sealed record CopyOutcome(IReadOnlyList<string>? Before, IReadOnlyList<string>? Present, string? Trouble);

/// <summary>The copies of an object on a device.</summary>
/// <param name="Device">The device.</param>
/// <param name="There">How many snapshots of the object are there.</param>
/// <param name="Waiting">How many are wanted there and are not.</param>
public sealed record DeviceCopies(string Device, int There, int Waiting);

// Entity <-> itself.
internal sealed record CopiesDue;

internal sealed record CopiesTried(IReadOnlyList<CopiesOnDevice> Devices, string? Trouble = null);

internal sealed record CopiesOnDevice(string Device, IReadOnlyList<StoredSnapshot> Wanted, CopyOutcome Outcome, DateTimeOffset? FirstOver);
