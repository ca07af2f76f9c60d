using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Protection;

namespace Holdfast.Runtime.Supervision;

/// <summary>What kind of checkpoint is asked for.</summary>
/// <param name="EndAfterwards">The application ends with it.</param>
/// <param name="Timeout">Instead of the configured one; null for that.</param>
/// <param name="Full">All memory is read.</param>
/// <param name="KeepConnections">With <paramref name="EndAfterwards"/>: how long TCP connections are held; null: they are not.</param>
internal sealed record CheckpointOrder(bool EndAfterwards, TimeSpan? Timeout, bool Full = false, TimeSpan? KeepConnections = null);

/// <summary>An application that is supervised, by this process or by another one.</summary>
internal interface IApplicationControl : IAsyncDisposable
{
    /// <summary>Takes a checkpoint. Cancelling calls it off, and the application goes on.</summary>
    Task<CheckpointJson> CheckpointAsync(CheckpointOrder order, Action<string, long>? progress, CancellationToken cancellation);

    /// <summary>Takes its present state, inside the same barrier as a checkpoint, without keeping a snapshot.</summary>
    /// <returns>What the store calls it; there until <see cref="ReleaseLive"/>, or until this is disposed.</returns>
    Task<string> TakeLiveAsync(Action<string, long>? progress, CancellationToken cancellation);

    /// <summary>Lets such a state go.</summary>
    void ReleaseLive(string live);

    /// <summary>SIGTERM, and SIGKILL to all of it after the grace; returns its exit status.</summary>
    Task<int> StopAsync(TimeSpan grace, CancellationToken cancellation);

    /// <summary>Kills every process; returns its exit status.</summary>
    Task<int> KillAsync(CancellationToken cancellation);

    /// <summary>How far its memory is loaded; null when all is in place.</summary>
    Task<LoadingJson?> LoadingAsync(CancellationToken cancellation);

    /// <summary>Looks at its policies, or changes them.</summary>
    Task<PolicyAnswer> PolicyAsync(PolicyOrder order, CancellationToken cancellation);
}
