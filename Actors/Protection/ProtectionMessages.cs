namespace Holdfast.Actors.Protection;

/// <summary>A policy as text, to be assigned.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Text">HOCON with this one policy.</param>
public sealed record PolicyText(string Name, string Text);

/// <summary>A policy that an object has from a group that it belongs to.</summary>
/// <param name="Group">The group, such as <c>label:tier=gold</c>.</param>
/// <param name="Policy">The policy.</param>
public sealed record InheritedPolicy(string Group, PolicyText Policy);

/// <summary>Assigns policies to the object itself; one of the same name is replaced. Answered by <see cref="ProtectionState"/> or <see cref="ProtectionRefused"/>.</summary>
/// <param name="Policies">At least one.</param>
public sealed record AssignPolicies(IReadOnlyList<PolicyText> Policies);

/// <summary>Takes a policy away that was assigned to the object itself. Answered by <see cref="ProtectionState"/> or <see cref="ProtectionRefused"/>.</summary>
/// <param name="Policy">Its name.</param>
public sealed record UnassignPolicy(string Policy);

/// <summary>Says what the object has from groups, all of it: what is not named any more is taken away. Answered by <see cref="ProtectionState"/> or <see cref="ProtectionRefused"/>.</summary>
/// <param name="Policies">All inherited policies.</param>
public sealed record InheritPolicies(IReadOnlyList<InheritedPolicy> Policies);

/// <summary>The supervisor of the object is there: from now on the plan is carried out. No answer.</summary>
public sealed record BeginProtection;

/// <summary>An administrator asks for a point. Answered by <see cref="TriggerPulled"/> or <see cref="ProtectionRefused"/>.</summary>
/// <param name="Rule">The rule as <c>policy.rule</c>, or null for every administrator's trigger of the object.</param>
public sealed record PullTrigger(string? Rule);

/// <summary>What became of an administrator's request.</summary>
/// <param name="Fired">The rules that fired; a point is taken for them.</param>
/// <param name="Held">The rules that may not fire yet, each with the reason.</param>
public sealed record TriggerPulled(IReadOnlyList<string> Fired, IReadOnlyList<HeldTrigger> Held);

/// <summary>A trigger that may not fire yet.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Why">The reason, as a sentence.</param>
public sealed record HeldTrigger(string Rule, string Why);

/// <summary>Asks for <see cref="ProtectionState"/>.</summary>
public sealed record GetProtection;

/// <summary>Asks for <see cref="HandPoint"/>: what a point must be that a person asks for.</summary>
public sealed record GetHandPoint;

/// <summary>What a point must be that a person asks for.</summary>
/// <param name="Tags">What is recorded with it.</param>
public sealed record HandPoint(IReadOnlyDictionary<string, string> Tags);

/// <summary>What was asked is not possible; nothing has changed.</summary>
/// <param name="Code">Stable code.</param>
/// <param name="Message">What, why, and what to do.</param>
public sealed record ProtectionRefused(string Code, string Message);

// Entity <-> itself.
internal sealed record PointDue;

internal sealed record RetentionDue;

internal sealed record WatchDue(string Rule);

internal sealed record SnapshotsListed(IReadOnlyList<StoredSnapshot> Snapshots, bool Reconcile);

internal sealed record ListingFailed(Exception Cause, bool Reconcile);

internal sealed record SnapshotsGone(IReadOnlyList<string> Snapshots, string? Trouble);

internal sealed record TriggerObserved(string Rule, int Generation, TriggerObservation Observation, DateTimeOffset At);

internal sealed record TriggerBlind(string Rule, int Generation, Exception Cause);
