using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <summary>How a supervised application comes to run. Answered by <see cref="ApplicationStarted"/> or <see cref="StartFailed"/>.</summary>
public abstract record StartApplication;

/// <summary>Starts it.</summary>
/// <param name="Request">What to start.</param>
public sealed record LaunchApplication(LaunchRequest Request) : StartApplication;

/// <summary>Restores it.</summary>
/// <param name="Request">What to restore.</param>
public sealed record RestoreApplication(RestoreRequest Request) : StartApplication
{
    /// <summary>Puts <see cref="RestoreRequest.Volumes"/> back; null when there are none. It may block; called off, it ends soon.</summary>
    public Action<CancellationToken>? PutVolumesBack { get; init; }
}

/// <summary>Supervises one that runs already.</summary>
/// <param name="Target">How to find it.</param>
public sealed record AdoptApplication(ApplicationTarget Target) : StartApplication
{
    /// <summary>Where its pages come from, when it was restored lazily and still lacks some; null when that cannot be. It may block.</summary>
    public Func<LoadingSource>? Pages { get; init; }
}

/// <summary>The application runs and is supervised.</summary>
/// <param name="Target">How to find it.</param>
/// <param name="MainPid">Host pid of its main process.</param>
/// <param name="Restore">What the restore did, when it was one.</param>
public sealed record ApplicationStarted(ApplicationTarget Target, int MainPid, RestoreReport? Restore)
{
    /// <summary>How far its memory is loaded, when that goes on.</summary>
    public LoadingProgress? Loading { get; init; }

    /// <summary>Why the memory that it lacks cannot be loaded: it waits for it.</summary>
    public OperationFailure? Held { get; init; }
}

/// <summary>It does not run.</summary>
/// <param name="Failure">Phase and cause.</param>
public sealed record StartFailed(OperationFailure Failure);

/// <summary>Asks for <see cref="ApplicationExited"/>, as soon as it is so.</summary>
public sealed record WaitForExit;

/// <summary>The application has ended.</summary>
/// <param name="Status">0–255 as its main process exited, 128+n when signal n killed it, -1 when no one knows.</param>
public sealed record ApplicationExited(int Status);

/// <summary>Sends a signal to the main process; no answer.</summary>
/// <param name="Signal">See signal(7).</param>
public sealed record SendSignal(int Signal);

/// <summary>Ends the application: SIGTERM, and SIGKILL to all of it after the grace. Answered by <see cref="ApplicationExited"/>.</summary>
/// <param name="Grace">How long it may take to end by itself.</param>
public sealed record StopApplication(TimeSpan Grace);

/// <summary>Kills every process; calls off a checkpoint that is under way. Answered by <see cref="ApplicationExited"/>.</summary>
public sealed record KillApplication;

/// <summary>The application could not be ended.</summary>
/// <param name="Failure">The cause.</param>
public sealed record EndFailed(OperationFailure Failure);

/// <summary>Calls off a restore that is under way; no answer of its own.</summary>
public sealed record CancelStart;

/// <summary>Asks for <see cref="ApplicationStatus"/>.</summary>
public sealed record GetStatus;

/// <summary>What an application is doing.</summary>
/// <param name="State"><c>starting</c>, <c>running</c>, <c>checkpointing</c> or <c>ended</c>.</param>
/// <param name="MainPid">Host pid of its main process; 0 when it has not started.</param>
public sealed record ApplicationStatus(string State, int MainPid)
{
    /// <summary>How far its memory is loaded, while that goes on.</summary>
    public LoadingProgress? Loading { get; init; }

    /// <summary>Why the memory that it lacks cannot be loaded.</summary>
    public OperationFailure? Held { get; init; }
}

internal sealed record ApplicationFound(IRunningApplication? Application)
{
    public IMemoryLoading? Loading { get; init; }

    public OperationFailure? Held { get; init; }
}

internal sealed record StartRefused(Exception Cause);

internal sealed record KillFailed(Exception Cause);

internal sealed record KillDone;

internal sealed record GraceOver;

internal sealed record TakePeriodicCheckpoint;
