using System.CommandLine;
using Holdfast.Runtime.Demo;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast demo</c>: the main job, on any machine, in half a minute.</summary>
internal static class DemoCommand
{
    public static Command Build(Executor executor)
    {
        DocumentedCommand command = new("demo", "Runs a sample under supervision, checkpoints it twice, kills it, restores it, and shows that it went on where it was.")
        {
            Examples = [("holdfast demo", "in a directory of its own under /tmp, which is removed afterwards")],
        };
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            DirectoryInfo directory = Directory.CreateTempSubdirectory("holdfast-demo-");
            DemoRun demo = new(session, directory.FullName, cancellation);
            try
            {
                DemoJson result = await demo.RunAsync().ConfigureAwait(false);
                session.Output.Confirm(result, OutputJson.Default.DemoJson, _ => "It went on exactly where it was.");
                return ExitStatus.Done;
            }
            finally
            {
                demo.CleanUp();
                directory.Delete(true);
            }
        }));
        return command;
    }
}
