namespace Holdfast.Actors.Protection;

/// <summary>What is kept in the journal about the protection of an object. The names of the members are the form on disk.</summary>
public interface IProtectionEvent;

/// <summary>A policy was assigned.</summary>
/// <param name="Policy">Its name.</param>
/// <param name="Text">HOCON with this one policy.</param>
/// <param name="Source"><see cref="PolicyAssignment.Direct"/>, or the group.</param>
/// <param name="At">When; its rules count from then on.</param>
public sealed record PolicyAssigned(string Policy, string Text, string Source, DateTimeOffset At) : IProtectionEvent;

/// <summary>A policy was taken away.</summary>
/// <param name="Policy">Its name.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="At">When.</param>
public sealed record PolicyUnassigned(string Policy, string Source, DateTimeOffset At) : IProtectionEvent;

/// <summary>A trigger rule fired.</summary>
/// <param name="Rule"><c>policy.rule</c>.</param>
/// <param name="At">When.</param>
public sealed record TriggerFired(string Rule, DateTimeOffset At) : IProtectionEvent;

/// <summary>That a point serves a rule.</summary>
/// <param name="Rule"><c>policy.rule</c>.</param>
/// <param name="Occurrence">Which of its obligations.</param>
/// <param name="Late">It came later than the rule asks for.</param>
public sealed record ServedTag(string Rule, DateTimeOffset Occurrence, bool Late = false);

/// <summary>A checkpoint was committed for the policies of the object.</summary>
/// <param name="Snapshot">Its id.</param>
/// <param name="Planned">When the plan wanted it.</param>
/// <param name="Asked">When it was asked for.</param>
/// <param name="Serves">What it fulfils.</param>
/// <param name="Cost">What it cost.</param>
public sealed record PointTaken(string Snapshot, DateTimeOffset Planned, DateTimeOffset Asked, IReadOnlyList<ServedTag> Serves, PointCost Cost) : IProtectionEvent;

/// <summary>What a checkpoint cost.</summary>
/// <param name="FreezeMs">For how long the application stood, milliseconds.</param>
/// <param name="TotalMs">From the request to the commit, milliseconds.</param>
/// <param name="ChangedBytes">Bytes that had to be written.</param>
/// <param name="StoredBytes">Bytes that the store grew by.</param>
public sealed record PointCost(double FreezeMs, double TotalMs, long ChangedBytes, long StoredBytes);

/// <summary>A checkpoint that was asked for did not come about; it is tried again.</summary>
/// <param name="At">When.</param>
/// <param name="Code">Stable code of the cause.</param>
/// <param name="Message">The cause.</param>
/// <param name="Attempt">How many have failed in a row.</param>
public sealed record PointFailed(DateTimeOffset At, string Code, string Message, int Attempt) : IProtectionEvent;

/// <summary>A rule was not kept.</summary>
/// <param name="Rule"><c>policy.rule</c>.</param>
/// <param name="Key">What identifies the obligation, so that it is reported once.</param>
/// <param name="Due">By when it should have been met.</param>
/// <param name="At">When that was noticed.</param>
/// <param name="What">What happened, as a sentence.</param>
public sealed record PromiseBroken(string Rule, DateTimeOffset Key, DateTimeOffset Due, DateTimeOffset At, string What) : IProtectionEvent;

/// <summary>Snapshots that no rule needs any more were removed.</summary>
/// <param name="Snapshots">Their ids.</param>
/// <param name="At">When.</param>
public sealed record SnapshotsRemoved(IReadOnlyList<string> Snapshots, DateTimeOffset At) : IProtectionEvent;

/// <summary>What the clocks showed when they were last looked at.</summary>
/// <param name="Trusted">The time that is believed.</param>
/// <param name="Boot">The boot of the host.</param>
/// <param name="SinceBoot">Time since that boot, with the time in which the host slept.</param>
public sealed record ClockNoted(DateTimeOffset Trusted, string Boot, TimeSpan SinceBoot) : IProtectionEvent;

/// <summary>The wall clock went back behind what was recorded: what is later than it counts from it.</summary>
/// <param name="At">What the clock showed.</param>
/// <param name="Rules">The rules that were ahead of it.</param>
public sealed record ClockWentBack(DateTimeOffset At, IReadOnlyList<string> Rules) : IProtectionEvent;
