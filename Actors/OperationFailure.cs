using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors;

/// <summary>Why a checkpoint, a restore or a start did not come about: what a user is shown.</summary>
/// <param name="Phase">The phase or step in which it failed, such as <c>Quiesce</c>.</param>
/// <param name="Code">Stable code, such as <c>freeze.timeout</c>.</param>
/// <param name="Message">What failed, why, and what to do, in one line.</param>
public sealed record OperationFailure(string Phase, string Code, string Message)
{
    /// <summary>The code of a phase that did not finish before its deadline.</summary>
    public const string TimeoutCode = "phase.timeout";

    /// <summary>The code of something that was called off by whoever asked for it.</summary>
    public const string CancelledCode = "cancelled";

    /// <summary>The code of a defect of Holdfast's own.</summary>
    public const string InternalCode = "internal";

    /// <summary>The refusals behind it; empty when it is a failure.</summary>
    public IReadOnlyList<Refusal> Refusals { get; init; } = [];

    /// <summary>Everything that is known about the cause, for the log; empty when the message says it all.</summary>
    public string Detail { get; init; } = "";

    /// <summary>True when it may be otherwise a moment later.</summary>
    public bool IsOfAMoment => Refusals.Count == 0 ? Refusal.IsOfAMoment(Code) : Refusals.All(refusal => Refusal.IsOfAMoment(refusal.Code));

    /// <summary>True when a deadline was the cause.</summary>
    public bool TimedOut => Code == TimeoutCode || Code.EndsWith(".timeout", StringComparison.Ordinal);

    /// <summary>Makes one of an exception: expected ones keep their code, all others are defects.</summary>
    public static OperationFailure From(string phase, Exception cause) => cause switch
    {
        BridgeException e => new OperationFailure(phase, e.Code, e.Message) { Refusals = e.Refusals, Detail = e.InnerException?.ToString() ?? "" },
        SnapshotStoreException e => new OperationFailure(phase, e.Code, e.Message) { Detail = e.InnerException?.ToString() ?? "" },
        ProcessStepException e => From(phase, e.InnerException!) with { Message = $"{e.Message}: {e.InnerException!.Message}" },
        OperationCanceledException => new OperationFailure(phase, CancelledCode, "called off"),
        IOException or UnauthorizedAccessException => new OperationFailure(phase, "io", cause.Message) { Detail = cause.ToString() },
        _ => new OperationFailure(phase, InternalCode, $"{cause.GetType().Name}: {cause.Message}") { Detail = cause.ToString() },
    };

    /// <summary>Makes one of refusals.</summary>
    /// <param name="phase">The phase in which they were decided.</param>
    /// <param name="refusals">At least one.</param>
    public static OperationFailure Refused(string phase, IReadOnlyList<Refusal> refusals) =>
        new(phase, refusals[0].Code, string.Join("\n", refusals)) { Refusals = refusals };
}
