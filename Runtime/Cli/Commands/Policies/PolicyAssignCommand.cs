using System.CommandLine;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy assign</c> and <c>unassign</c>.</summary>
internal static class PolicyAssignCommand
{
    private const string Targets = "An application's name, or a group: label:KEY=VALUE, path:DIR";

    public static Command Assign(Executor executor)
    {
        Argument<string> file = new("FILE") { Description = "A file with policies { NAME { … } }" };
        Argument<string> target = new("TARGET") { Description = Targets };
        Option<string?> only = Options.Text("--policy", "NAME", "Only this policy of the file (default: all)");
        DocumentedCommand command = new("assign", "Assigns the policies of a file. A supervised application has them at once, others as soon as they are supervised.")
        {
            Examples =
            [
                ("holdfast policy assign gold.conf web", "to one application; a policy of the same name is replaced"),
                ("holdfast policy assign gold.conf label:tier=gold", "to all that were run with --label tier=gold, now and later"),
                ("holdfast policy assign daily.conf path:/srv/shop", "to all that were run in that directory or below"),
            ],
        };
        command.Arguments.Add(file);
        command.Arguments.Add(target);
        command.Options.Add(only);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
            AssignAsync(session, parsed.GetRequiredValue(file), PolicyTarget.Parse(parsed.GetRequiredValue(target)), parsed.GetValue(only))));
        return command;
    }

    public static Command Unassign(Executor executor)
    {
        Argument<string> policy = new("POLICY") { Description = "The policy's name" };
        Argument<string> target = new("TARGET") { Description = Targets };
        DocumentedCommand command = new("unassign", "Takes a policy away. Snapshots that no rule needs any more are removed, unless it was the last policy.")
        {
            Examples = [("holdfast policy unassign gold web", "from one application"), ("holdfast policy unassign gold label:tier=gold", "from a group")],
        };
        command.Arguments.Add(policy);
        command.Arguments.Add(target);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
            UnassignAsync(session, parsed.GetRequiredValue(policy), PolicyTarget.Parse(parsed.GetRequiredValue(target)))));
        return command;
    }

    private static async Task<int> AssignAsync(Session session, string file, PolicyTarget target, string? only)
    {
        ValueList<Policy> policies = PolicyFiles.ReadValid([file]);
        if (only is not null)
        {
            policies = policies.Where(p => p.Name == only).ToValueList();
            if (policies.Count == 0)
            {
                throw new HoldfastException("policy.unknown", $"{file}: there is no policy {only}");
            }
        }

        IReadOnlyList<PolicyText> texts = PolicySupport.Supported(policies, session.Store.ExistingSnapshots(), session.Settings.Storage.Tls, HasVolumes(session, target));
        if (target.IsGroup)
        {
            await PolicyGroups.AssignAsync(session, target, texts).ConfigureAwait(false);
            await RefreshAsync(session, target).ConfigureAwait(false);
        }
        else
        {
            await PolicyAccess.AskAsync(session, target.Value, new PolicyOrder("assign", texts)).ConfigureAwait(false);
        }

        foreach (PolicyText text in texts)
        {
            session.Output.Confirm(new PolicyAssignmentJson(text.Name, target.ToString(), true), OutputJson.Default.PolicyAssignmentJson, a => $"{a.Policy} is assigned to {a.Target}");
        }

        return ExitStatus.Done;
    }

    /// <summary>Of a group nobody can know: an application without volumes may join it at any time.</summary>
    private static bool HasVolumes(Session session, PolicyTarget target) =>
        !target.IsGroup && ApplicationName.IsValid(target.Value) && session.Store.Application(target.Value).Read()?.Volumes.Count > 0;

    private static async Task<int> UnassignAsync(Session session, string policy, PolicyTarget target)
    {
        if (target.IsGroup)
        {
            await PolicyGroups.UnassignAsync(session, target, policy).ConfigureAwait(false);
            await RefreshAsync(session, target).ConfigureAwait(false);
        }
        else
        {
            await PolicyAccess.AskAsync(session, target.Value, new PolicyOrder("unassign", Name: policy)).ConfigureAwait(false);
        }

        session.Output.Confirm(new PolicyAssignmentJson(policy, target.ToString(), false), OutputJson.Default.PolicyAssignmentJson, a => $"{a.Policy} is no longer assigned to {a.Target}");
        return ExitStatus.Done;
    }

    /// <summary>Lets those applications of a group know that run; the others hear of it when they start.</summary>
    private static async Task RefreshAsync(Session session, PolicyTarget group)
    {
        List<HoldfastException> failures = [];
        foreach ((ApplicationDirectory _, ApplicationRecord record) in session.Store.AllApplications().Where(a => group.Includes(a.Record) && ApplicationDirectory.Runs(a.Record)).ToList())
        {
            try
            {
                IReadOnlyList<InheritedPolicy> inherited = await PolicyGroups.OfAsync(session, record).ConfigureAwait(false);
                await PolicyAccess.AskAsync(session, record.Name, new PolicyOrder("inherit", Inherited: inherited)).ConfigureAwait(false);
            }
            catch (HoldfastException e)
            {
                failures.Add(e);
            }
        }

        if (failures.Count > 0)
        {
            throw new HoldfastException(failures[0].Code, string.Join('\n', failures.Select(f => $"{group} has changed, but: {f.Message}")), failures[0].Status);
        }
    }
}
