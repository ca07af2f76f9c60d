using System.Diagnostics;

namespace Holdfast.EndToEnd.Tests;

/// <summary>The programs must be right by themselves before they can say anything about a checkpoint.</summary>
public sealed class PlainRunTests
{
    [Fact]
    public void Every_state_program_passes_without_any_checkpoint()
    {
        _ = BuiltPrograms.StateProgram("");
        var scratch = Directory.CreateTempSubdirectory("holdfast-plain-");
        try
        {
            CommandRunner runner = new(scratch.FullName, new Dictionary<string, string>());
            var result = runner.Run(
                TimeSpan.FromMinutes(8), Path.Combine(Repository.Programs, "plain.sh"), Path.Combine(Repository.Root, ".build", "programs"));
            Assert.True(result.Succeeded, result.ToString());
        }
        finally
        {
            scratch.Delete(true);
        }
    }

    [Fact]
    public void There_are_at_least_forty_five_programs_to_be_checkpointed()
    {
        Assert.True(StateProgram.All.Count(program => program.Suite.Length == 0 && !program.Refused) >= 45);
        Assert.All(StateProgram.All, program => Assert.Contains("Subject:", File.ReadAllText(Path.Combine(Repository.Programs, program.Name + ".c")), StringComparison.Ordinal));
    }
}
