namespace Holdfast.Actors.Protection;

/// <summary>A policy that an object has.</summary>
/// <param name="Policy">Its name.</param>
/// <param name="Text">HOCON with this one policy.</param>
/// <param name="Source"><see cref="Direct"/>, or the group that it is inherited from.</param>
/// <param name="At">Since when.</param>
public sealed record PolicyAssignment(string Policy, string Text, string Source, DateTimeOffset At)
{
    /// <summary>The source of what was assigned to the object itself.</summary>
    public const string Direct = "direct";
}

/// <summary>How often a rule was kept and broken.</summary>
/// <param name="Rule"><c>policy.rule</c>.</param>
/// <param name="Kept">Obligations that were met in time.</param>
/// <param name="Broken">Obligations that were not.</param>
public sealed record PromiseCount(string Rule, long Kept, long Broken);

/// <summary>The next point of the plan.</summary>
/// <param name="At">When.</param>
/// <param name="Rules">Which rules ask for it.</param>
public sealed record NextPoint(DateTimeOffset At, IReadOnlyList<string> Rules);

/// <summary>What was last seen of what a trigger watches.</summary>
/// <param name="Rule"><c>policy.rule</c>.</param>
/// <param name="Value">For thresholds: the value, in the unit of the kind.</param>
/// <param name="At">When.</param>
public sealed record TriggerSeen(string Rule, double Value, DateTimeOffset At);

/// <summary>Everything that is known about the protection of an object: what an operator is shown.</summary>
public sealed record ProtectionState
{
    /// <summary>The object's name.</summary>
    public required string Object { get; init; }

    /// <summary>True while its plan is carried out; false when it is only kept in the journal.</summary>
    public bool CarriedOut { get; init; }

    /// <summary>The policies that it has.</summary>
    public IReadOnlyList<PolicyAssignment> Assignments { get; set; } = [];

    /// <summary>Up to where each rule is served.</summary>
    public IReadOnlyList<ServedTag> Served { get; set; } = [];

    /// <summary>Since when each rule counts.</summary>
    public IReadOnlyList<ServedTag> Since { get; set; } = [];

    /// <summary>Up to where broken obligations of each rule were reported.</summary>
    public IReadOnlyList<ServedTag> Reported { get; set; } = [];

    /// <summary>Events that wait for a point.</summary>
    public IReadOnlyList<TriggerFired> Pending { get; set; } = [];

    /// <summary>When each trigger rule last fired.</summary>
    public IReadOnlyList<TriggerFired> LastFired { get; set; } = [];

    /// <summary>How often each rule was kept and broken.</summary>
    public IReadOnlyList<PromiseCount> Promises { get; set; } = [];

    /// <summary>The latest broken promises, the oldest first.</summary>
    public IReadOnlyList<PromiseBroken> Breaks { get; set; } = [];

    /// <summary>The latest points that were taken, the oldest first.</summary>
    public IReadOnlyList<PointTaken> Points { get; set; } = [];

    /// <summary>How many points were taken in all.</summary>
    public long PointsTaken { get; init; }

    /// <summary>How many snapshots were removed in all.</summary>
    public long SnapshotsRemoved { get; init; }

    /// <summary>The failure that is being tried again, or null.</summary>
    public PointFailed? Failure { get; init; }

    /// <summary>What the clocks showed last, or null.</summary>
    public ClockNoted? Clock { get; init; }

    /// <summary>The next point, while the plan is carried out and it wants one.</summary>
    public NextPoint? Next { get; init; }

    /// <summary>What was last seen of what the triggers watch.</summary>
    public IReadOnlyList<TriggerSeen> Watched { get; set; } = [];

    /// <summary>The copies on other devices, as far as they are known.</summary>
    public IReadOnlyList<DeviceCopies> Copies { get; set; } = [];

    /// <summary>What does not work at the moment, a sentence each: a trigger that cannot be watched, a clock that is doubted, a store that cannot be read.</summary>
    public IReadOnlyList<string> Troubles { get; set; } = [];
}
