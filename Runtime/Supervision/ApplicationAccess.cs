using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Protection;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Supervision;

/// <summary>
/// Reaches a running application for one command: through its supervisor, or, when that is dead, by supervising it for as long as the command takes.
/// </summary>
internal static class ApplicationAccess
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(20);

    public static async Task<IApplicationControl> OpenAsync(Session session, string name, CancellationToken cancellation)
    {
        (ApplicationDirectory directory, ApplicationRecord known) = session.Store.Existing(name);
        if (ApplicationDirectory.Runs(known))
        {
            Authority.Own.RequireReach(known.Target);
        }

        (RemoteSupervisor? remote, ApplicationLock? held) = await ReachAsync(directory, name, session.Settings.ConnectTimeout, cancellation).ConfigureAwait(false);
        if (remote is not null)
        {
            return remote;
        }

        if (held is null)
        {
            throw new HoldfastException(
                "supervisor.busy", $"the supervisor of {name} does not answer; another command may be at work on it, try again", ExitStatus.CannotConnect);
        }

        if (ApplicationDirectory.Runs(known))
        {
            Session.RequireRights(known.Target);
        }

        return await AdoptAsync(session, directory, held, cancellation).ConfigureAwait(false);
    }

    /// <summary>Takes the lock of an application that nobody supervises; a supervisor that was killed holds it for a moment longer.</summary>
    /// <returns>Null when there is a supervisor that answers, or somebody holds it for longer than that.</returns>
    public static async Task<ApplicationLock?> TryLockAsync(ApplicationDirectory directory, string name, TimeSpan patience)
    {
        (RemoteSupervisor? remote, ApplicationLock? held) = await ReachAsync(directory, name, patience, CancellationToken.None).ConfigureAwait(false);
        if (remote is not null)
        {
            await remote.DisposeAsync().ConfigureAwait(false);
        }

        return held;
    }

    /// <summary>Its supervisor, or the lock when it has none; neither when the lock stays held and nobody listens: by a supervisor that is just starting or ending, or another command's.</summary>
    private static async Task<(RemoteSupervisor? Supervisor, ApplicationLock? Lock)> ReachAsync(ApplicationDirectory directory, string name, TimeSpan patience, CancellationToken cancellation)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (RemoteSupervisor.TryConnect(directory.Socket, name) is { } remote)
            {
                return (remote, null);
            }

            if (directory.TryLock() is { } held)
            {
                return (null, held);
            }

            if (TimeProvider.System.GetElapsedTime(began) > patience)
            {
                return (null, null);
            }

            await Task.Delay(RetryInterval, cancellation).ConfigureAwait(false);
        }
    }

    private static async Task<IApplicationControl> AdoptAsync(Session session, ApplicationDirectory directory, ApplicationLock held, CancellationToken cancellation)
    {
        SupervisorHost? host = null;
        try
        {
            // Read again under the lock: it may have ended while the lock was waited for.
            ApplicationRecord record = directory.Read()!;
            if (!ApplicationDirectory.Runs(record))
            {
                Remains.Remove(session, record);
                throw Ended(record);
            }

            host = new SupervisorHost(session, session.Store.Snapshots(), directory, record, every: null);
            await host.StartAsync(host.Adoption(), cancellation).ConfigureAwait(false);
            return new ForOneCommand(host, held);
        }
        catch
        {
            if (host is not null)
            {
                await host.DisposeAsync().ConfigureAwait(false);
            }

            held.Dispose();
            throw;
        }
    }

    public static HoldfastException Ended(ApplicationRecord record) => new(
        "app.ended",
        $"{record.Name} does not run: {(ApplicationDirectory.ExitStatusOf(record) is { } status ? $"it ended with status {status}" : "it has ended")}; " +
        $"'holdfast restore {record.Name}' brings it back from its latest snapshot");

    /// <summary>A supervision that ends with the command; the application goes on.</summary>
    private sealed class ForOneCommand(SupervisorHost host, ApplicationLock held) : IApplicationControl
    {
        public Task<CheckpointJson> CheckpointAsync(CheckpointOrder order, Action<string, long>? progress, CancellationToken cancellation) => host.CheckpointAsync(order, progress, cancellation);

        public Task<string> TakeLiveAsync(Action<string, long>? progress, CancellationToken cancellation) => host.TakeLiveAsync(progress, cancellation);

        public void ReleaseLive(string live) => host.ReleaseLive(live);

        public Task<int> StopAsync(TimeSpan grace, CancellationToken cancellation) => host.StopAsync(grace, cancellation);

        public Task<int> KillAsync(CancellationToken cancellation) => host.KillAsync(cancellation);

        public async Task<LoadingJson?> LoadingAsync(CancellationToken cancellation) => await host.LoadingAsync(cancellation).ConfigureAwait(false);

        public Task<PolicyAnswer> PolicyAsync(PolicyOrder order, CancellationToken cancellation) => host.PolicyAsync(order, cancellation);

        public async ValueTask DisposeAsync()
        {
            await host.DisposeAsync().ConfigureAwait(false);
            held.Dispose();
        }
    }
}
