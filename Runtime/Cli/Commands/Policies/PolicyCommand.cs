using System.CommandLine;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy</c>: what policies say, plan, cost and come to, and whom they are assigned to.</summary>
internal static class PolicyCommand
{
    public static Command Build(Executor executor)
    {
        DocumentedCommand command = new("policy", "Checks, plans, merges and assigns policies, and shows how they are kept.")
        {
            Examples =
            [
                ("holdfast policy check gold.conf", "what is wrong, or not what was meant, with file, line and rule"),
                ("holdfast policy plan gold.conf --next 20", "the next 20 checkpoints and why"),
                ("holdfast policy merge gold.conf daily.conf >both.conf", "one policy that keeps every rule of both"),
                ("holdfast policy assign both.conf web", "carries it out on web"),
                ("holdfast policy status web", "what web has, and which promises were kept"),
            ],
        };
        // Every other command starts without them.
        if (executor.Arguments.Contains("policy"))
        {
            foreach (Command sub in (Command[])[
                PolicyCheckCommand.Build(executor), PolicyPlanCommand.Build(executor), PolicyMergeCommand.Build(executor), PolicyExplainCommand.Build(executor),
                PolicyAssignCommand.Assign(executor), PolicyAssignCommand.Unassign(executor), PolicyStatusCommand.Build(executor), PolicyTriggerCommand.Build(executor)])
            {
                command.Subcommands.Add(sub);
            }
        }

        return command;
    }

    public static Argument<string[]> Files(bool optional = false) => new("FILE")
    {
        Description = "Files with policies { NAME { … } }",
        Arity = optional ? ArgumentArity.ZeroOrMore : ArgumentArity.OneOrMore,
    };

    public static Option<string?> Object() => Options.Text("--object", "NAME", "An application: its snapshots, and what its checkpoints were measured to cost");
}
