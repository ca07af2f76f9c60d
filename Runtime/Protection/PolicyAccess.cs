using Holdfast.Actors.Protection;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Hosting;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;

namespace Holdfast.Runtime.Protection;

/// <summary>
/// Reaches the protection of an application for one command: through its supervisor while one lives, else in its journal, so that what is
/// changed takes effect when it is supervised again.
/// </summary>
internal static class PolicyAccess
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(20);

    public static async Task<PolicyAnswer> AskAsync(Session session, string name, PolicyOrder order, CancellationToken cancellation = default)
    {
        (ApplicationDirectory directory, _) = session.Store.Existing(name);
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (RemoteSupervisor.TryConnect(directory.Socket, name) is { } remote)
            {
                await using (remote.ConfigureAwait(false))
                {
                    return await remote.PolicyAsync(order, cancellation).ConfigureAwait(false);
                }
            }

            if (directory.TryLock() is { } held)
            {
                using (held)
                {
                    return await StoredAsync(session, directory, order).ConfigureAwait(false);
                }
            }

            if (TimeProvider.System.GetElapsedTime(began) > session.Settings.ConnectTimeout)
            {
                throw new HoldfastException(
                    "supervisor.busy", $"the supervisor of {name} does not answer; another command may be at work on it, try again", ExitStatus.CannotConnect);
            }

            await Task.Delay(RetryInterval, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>The state of an application's protection; one that never had a policy has an empty one, without a journal being made.</summary>
    public static async Task<ProtectionState> StateAsync(Session session, string name) =>
        session.Store.Application(name) is var directory && !File.Exists(ProtectionHost.JournalOf(directory))
            ? new ProtectionState { Object = name }
            : (await AskAsync(session, name, new PolicyOrder("state")).ConfigureAwait(false)).State!;

    private static async Task<PolicyAnswer> StoredAsync(Session session, ApplicationDirectory directory, PolicyOrder order)
    {
        await using ActorNode node = new(Journal.In(ProtectionHost.JournalOf(directory), session.Settings.Config));
        ProtectedApplication application = new(directory.Name, session.Store.ExistingSnapshots(), directory.Read);
        return await new ProtectionHost(node, application, session.Settings.Protection).AskAsync(order).ConfigureAwait(false);
    }
}
