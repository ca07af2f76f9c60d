using Akka.Actor;
using Akka.Pattern;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Hosting;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Protection;

/// <summary>What is asked of the protection of an application, by this process or over the socket of its supervisor.</summary>
/// <param name="Verb"><c>assign</c>, <c>unassign</c>, <c>inherit</c>, <c>state</c> or <c>trigger</c>.</param>
/// <param name="Policies">For <c>assign</c>.</param>
/// <param name="Name">The policy to unassign, or the rule to trigger.</param>
/// <param name="Inherited">For <c>inherit</c>: all that the groups give.</param>
internal sealed record PolicyOrder(string Verb, IReadOnlyList<PolicyText>? Policies = null, string? Name = null, IReadOnlyList<InheritedPolicy>? Inherited = null);

/// <summary>What came of a <see cref="PolicyOrder"/>.</summary>
internal sealed record PolicyAnswer(ProtectionState? State = null, TriggerPulled? Pulled = null);

/// <summary>Hosts the <see cref="PolicyEntity"/> of one application in an actor system of this process. Made by who holds its lock.</summary>
internal sealed class ProtectionHost
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ProtectedApplication _application;
    private readonly IActorRef _entity;

    public ProtectionHost(ActorNode node, ProtectedApplication application, ProtectionSettings settings)
    {
        _application = application;
        // A journal that cannot be written stops the entity; it comes back, and goes on from what is durable.
        Props entity = PolicyEntity.Props(application, new SystemClock(), settings);
        _entity = node.System.ActorOf(
            BackoffSupervisor.Props(Backoff.OnStop(entity, "entity", TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(30), 0.2, -1)), "protection");
    }

    /// <summary>The file with the journal of an application.</summary>
    public static string JournalOf(ApplicationDirectory directory) => Path.Combine(directory.Path, "policies.db");

    /// <summary>Its application runs: its plan is carried out from now on.</summary>
    public void Begin(IActorRef supervisor)
    {
        _application.Supervisor = supervisor;
        _entity.Tell(new BeginProtection(), ActorRefs.NoSender);
    }

    public async Task<PolicyAnswer> AskAsync(PolicyOrder order) => order.Verb switch
    {
        "assign" => new PolicyAnswer(await AskAsync<ProtectionState>(new AssignPolicies(order.Policies ?? [])).ConfigureAwait(false)),
        "unassign" => new PolicyAnswer(await AskAsync<ProtectionState>(new UnassignPolicy(order.Name ?? "")).ConfigureAwait(false)),
        "inherit" => new PolicyAnswer(await AskAsync<ProtectionState>(new InheritPolicies(order.Inherited ?? [])).ConfigureAwait(false)),
        "state" => new PolicyAnswer(await AskAsync<ProtectionState>(new GetProtection()).ConfigureAwait(false)),
        "trigger" => new PolicyAnswer(Pulled: await AskAsync<TriggerPulled>(new PullTrigger(order.Name)).ConfigureAwait(false)),
        _ => throw new HoldfastException("protocol", $"'{order.Verb}' is unknown to this supervisor; it may be an older holdfast"),
    };

    /// <summary>What is to be recorded with a checkpoint that a person asks for.</summary>
    public async Task<IReadOnlyDictionary<string, string>> HandTagsAsync() => (await AskAsync<HandPoint>(new GetHandPoint()).ConfigureAwait(false)).Tags;

    private async Task<T> AskAsync<T>(object message)
    {
        object answer;
        try
        {
            answer = await _entity.Ask<object>(message, Patience).ConfigureAwait(false);
        }
        catch (AskTimeoutException e)
        {
            throw new HoldfastException("policy.journal", $"the policies of {_application.Name} do not answer: their journal cannot be read or written", ExitStatus.TimedOut, e);
        }

        return answer switch
        {
            T expected => expected,
            ProtectionRefused refused => throw new HoldfastException(refused.Code, refused.Message),
            _ => throw new InvalidOperationException($"{answer.GetType().Name} is no answer"),
        };
    }
}
