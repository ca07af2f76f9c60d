using Akka.Actor;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Hosting;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Protection;

/// <summary>The policies of the groups of a store, in a journal of their own. One process writes at a time: the one with the lock.</summary>
internal static class PolicyGroups
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static string DirectoryOf(Session session) => Path.Combine(session.Store.Root, "policies");

    private static string JournalOf(Session session) => Path.Combine(DirectoryOf(session), "groups.db");

    /// <summary>All policies of all groups.</summary>
    public static async Task<IReadOnlyList<InheritedPolicy>> AllAsync(Session session) =>
        File.Exists(JournalOf(session)) ? (await AskAsync(session, new GetGroups()).ConfigureAwait(false)).Policies : [];

    /// <summary>What an application has from the groups that it belongs to.</summary>
    public static async Task<IReadOnlyList<InheritedPolicy>> OfAsync(Session session, ApplicationRecord record) =>
        [.. (await AllAsync(session).ConfigureAwait(false)).Where(p => PolicyTarget.Parse(p.Group).Includes(record))];

    public static Task AssignAsync(Session session, PolicyTarget group, IReadOnlyList<PolicyText> policies) =>
        ChangeAsync(session, new AssignToGroup(group.ToString(), policies));

    public static Task UnassignAsync(Session session, PolicyTarget group, string policy) =>
        ChangeAsync(session, new UnassignFromGroup(group.ToString(), policy));

    private static async Task ChangeAsync(Session session, object message)
    {
        session.Store.Snapshots();
        ApplicationDirectory directory = new(DirectoryOf(session), "policies");
        directory.Create();
        using ApplicationLock held = directory.TryLock()
            ?? throw new HoldfastException("policy.busy", "another command is changing the policies of groups; try again", ExitStatus.CannotConnect);
        await AskAsync(session, message).ConfigureAwait(false);
    }

    private static async Task<GroupsListed> AskAsync(Session session, object message)
    {
        await using ActorNode node = new(Journal.In(JournalOf(session), session.Settings.Config));
        IActorRef groups = node.System.ActorOf(GroupPolicies.Props(TimeProvider.System), "groups");
        return await groups.Ask<object>(message, Patience).ConfigureAwait(false) switch
        {
            GroupsListed listed => listed,
            ProtectionRefused refused => throw new HoldfastException(refused.Code, refused.Message),
            var other => throw new InvalidOperationException($"{other.GetType().Name} is no answer"),
        };
    }
}
