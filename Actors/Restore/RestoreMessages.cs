using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>The steps of a restore, in their order; the states of the coordinator of a restore.</summary>
public enum RestoreStep
{
    /// <summary>Decides whether the image can be restored here; builds nothing.</summary>
    Check,

    /// <summary>Only when the application has volumes: their files are put back, and looked at.</summary>
    Volumes,

    /// <summary>Namespaces, the space's init, and the process tree.</summary>
    Processes,

    /// <summary>Descriptors and what they refer to.</summary>
    Resources,

    /// <summary>Address spaces and their contents.</summary>
    Memory,

    /// <summary>Signal actions, timers, credentials, threads and registers.</summary>
    Threads,

    /// <summary>What was built is compared with the image.</summary>
    Verify,

    /// <summary>All processes run together.</summary>
    Run,

    /// <summary>Everything that is held is let go, whatever the outcome.</summary>
    Finish,
}

/// <summary>How restores are done; the defaults are those of Hocon/reference.conf.</summary>
public sealed record RestoreSettings
{
    /// <summary>The deadline of each step; Finish has that of Run.</summary>
    public required IReadOnlyDictionary<RestoreStep, TimeSpan> Deadlines { get; init; }

    /// <summary>The deadline of a step.</summary>
    public TimeSpan Deadline(RestoreStep step) => Deadlines[step == RestoreStep.Finish ? RestoreStep.Run : step];
}

/// <summary>What a restore did.</summary>
/// <param name="Processes">How many processes run again.</param>
/// <param name="Threads">How many threads they have.</param>
/// <param name="ResumeTime">From the request until all of them ran.</param>
/// <param name="TotalTime">From the request until every page was in place and everything was let go.</param>
/// <param name="BytesRead">Bytes that were read from the store.</param>
public sealed record RestoreReport(int Processes, int Threads, TimeSpan ResumeTime, TimeSpan TotalTime, long BytesRead)
{
    /// <summary>TCP sockets that were held since the capture, and are what they were.</summary>
    public int ConnectionsKept { get; init; }
}

/// <summary>Published on the event stream while a restore is under way.</summary>
/// <param name="Step">The step it is in.</param>
/// <param name="BytesRead">Bytes read from the store so far.</param>
/// <param name="Elapsed">Since the request.</param>
public sealed record RestoreProgress(RestoreStep Step, long BytesRead, TimeSpan Elapsed);

/// <summary>Calls a restore off; nothing is left of it unless it runs already.</summary>
/// <param name="Failure">Why; null when somebody asked for it.</param>
internal sealed record CancelRestore(OperationFailure? Failure = null);

internal sealed record ApplicationRestored(IRunningApplication Application, RestoreReport Report);

internal sealed record RestoreFailed(OperationFailure Failure);

internal sealed record TakeRestoreStep(RestoreStep Step);

/// <param name="Step">The step that is done.</param>
/// <param name="Answer">What it gave: refusals of Check, the application of Run, otherwise null.</param>
internal sealed record RestoreStepTaken(RestoreStep Step, object? Answer);

internal sealed record RestoreStepFailed(RestoreStep Step, Exception Cause);

internal sealed record RestoreCrashed(Exception Cause);

internal sealed record RestoreTimedOut(RestoreStep Step);
