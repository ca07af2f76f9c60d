using System.CommandLine;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Protection;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy trigger</c>: an administrator's request for a point.</summary>
internal static class PolicyTriggerCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> name = Options.Name();
        Argument<string?> rule = new("POLICY.RULE") { Description = "One trigger (default: every trigger for an administrator)", Arity = ArgumentArity.ZeroOrOne };
        DocumentedCommand command = new("trigger", "Fires the triggers that wait for an administrator (on = administrator), as often as their rules allow.")
        {
            Examples = [("holdfast policy trigger web", "asks for a point"), ("holdfast policy trigger web gold.before-release", "for the sake of one rule")],
        };
        command.Arguments.Add(name);
        command.Arguments.Add(rule);
        command.SetAction(parsed => executor.Execute(parsed, false, session => TriggerAsync(session, parsed.GetRequiredValue(name), parsed.GetValue(rule))));
        return command;
    }

    private static async Task<int> TriggerAsync(Session session, string name, string? rule)
    {
        TriggerPulled pulled = (await PolicyAccess.AskAsync(session, name, new PolicyOrder("trigger", Name: rule)).ConfigureAwait(false)).Pulled!;
        if (pulled.Fired.Count == 0)
        {
            throw new HoldfastException("policy.trigger-held", string.Join('\n', pulled.Held.Select(h => $"{name}: {h.Rule} does not fire: {h.Why}")));
        }

        session.Output.Confirm(
            new PolicyTriggerJson(name, pulled.Fired, [.. pulled.Held.Select(h => h.Rule)]), OutputJson.Default.PolicyTriggerJson,
            t => $"{t.Name}: {string.Join(", ", t.Fired)} fired");
        return ExitStatus.Done;
    }
}
