using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>What people run, as Debian packages it: see tests/survey.</summary>
public sealed class SurveyTests(ITestOutputHelper output)
{
    [LongFact("three minutes")]
    public void Programs_of_Debian_go_on_after_checkpoints_and_restores()
    {
        using WorkDirectory work = new();
        var run = new CommandRunner(work.Scratch, new Dictionary<string, string> { ["HOLDFAST_BIN"] = Repository.HoldfastCommand })
            .Run(TimeSpan.FromMinutes(30), Path.Combine(Repository.Root, "tests", "survey"));
        output.WriteLine(run.Output);
        Assert.True(run.Succeeded && run.Output.Contains("pass ", StringComparison.Ordinal), run.ToString());
        Assert.DoesNotContain("fail ", run.Output, StringComparison.Ordinal);
    }
}
