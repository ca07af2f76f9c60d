namespace Holdfast.Runtime.Tests;

public sealed class UsageTests : IDisposable
{
    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    [Theory]
    [InlineData("nope")]
    [InlineData("checkpoint")]
    [InlineData("checkpoint a b")]
    [InlineData("list --bogus")]
    [InlineData("-o xml list")]
    [InlineData("checkpoint a --timeout 3q")]
    [InlineData("checkpoint a --timeout -1s")]
    [InlineData("restore")]
    [InlineData("restore a --from b")]
    [InlineData("restore a --files maybe")]
    [InlineData("forget a")]
    [InlineData("dump 1")]
    [InlineData("dump one --to d")]
    [InlineData("stop ../etc")]
    [InlineData("show .")]
    [InlineData("policy")]
    [InlineData("policy nope")]
    [InlineData("policy check")]
    [InlineData("policy plan")]
    [InlineData("policy assign f moon:x")]
    public void Wrong_usage_ends_with_2_and_one_line(string line)
    {
        Outcome outcome = _holdfast.Run(line.Split(' '));

        Assert.Equal(2, outcome.Status);
        Assert.Matches(@"^holdfast: [^\n]+\n$", outcome.Errors);
        Assert.Empty(outcome.Output);
        Assert.False(Directory.Exists(_holdfast.Store));
    }

    [Theory]
    [InlineData("move a", "move")]
    [InlineData("restore a --tcp keep", "--tcp")]
    public void What_does_not_exist_yet_is_refused_by_name(string line, string name)
    {
        Outcome outcome = _holdfast.Run(line.Split(' '));

        Assert.NotEqual(0, outcome.Status);
        Assert.Contains(name, outcome.Errors);
        Assert.Contains("does not exist in this version", outcome.Errors);
    }

    [Theory]
    [InlineData(125, "run")]
    [InlineData(125, "run --bogus true")]
    [InlineData(125, "run --every never -- true")]
    [InlineData(125, "run --isolate moon -- true")]
    [InlineData(125, "run --name ../x -- true")]
    [InlineData(125, "run --adopt nobody")]
    [InlineData(125, "run --adopt a -- true")]
    [InlineData(125, "restore nobody")]
    [InlineData(126, "run -- /etc/passwd")]
    [InlineData(126, "run -- /")]
    [InlineData(127, "run -- /no/such/program")]
    [InlineData(127, "run --detach -- no-such-program")]
    public void Errors_of_a_run_are_told_from_what_applications_end_with(int status, string line) =>
        Assert.Equal(status, _holdfast.Run(line.Split(' ')).Status);

    [Fact]
    public void An_error_has_a_stable_code_in_json()
    {
        Outcome outcome = _holdfast.Run("-o", "json", "show", "nobody");

        Assert.Equal(1, outcome.Status);
        Assert.Equal("app.unknown", outcome.Json.GetProperty("error").GetString());
    }

    [Fact]
    public void Every_command_has_help_with_an_example()
    {
        string help = _holdfast.Run("--help").Succeeds().Output;
        string[] commands = [.. help.Split("Commands:")[1].Split("Options:")[0].Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Trim().Split(' ')[0]).Where(c => c.Length > 0)];

        Assert.Equal(
            ["apply", "check", "checkpoint", "demo", "diff", "dump", "forget", "gc", "inspect", "kill", "list", "migrate", "new-key", "node", "policy", "repair", "restore",
             "rotate-key", "run", "show", "snapshot", "snapshots", "stop", "verify"],
            commands.Order());
        Assert.All(commands, command =>
        {
            string own = _holdfast.Run(command, "--help").Succeeds().Output;
            Assert.Contains($"Usage:\n  holdfast {command}", own);
            Assert.Contains($"holdfast", own.Split("Examples:")[1]);
        });
    }

    [Fact]
    public void Reading_a_store_that_is_not_there_does_not_make_one()
    {
        _holdfast.Run("list").Succeeds();
        Assert.Equal(1, _holdfast.Run("verify").Status);

        Assert.False(Directory.Exists(_holdfast.Store));
    }

    [Theory]
    [InlineData("holdfast.checkpoint.deadlines.prepair = 3s", "the nearest is holdfast.checkpoint.deadlines.prepare")]
    [InlineData("holdfast.checkpoint.deadlines.prepare = soon", "a duration such as 30s")]
    [InlineData("holdfast.checkpoint.deadlines.prepare = 0s", "above 0")]
    [InlineData("holdfast.checkpoint.parallel-pumps = -1", "from 0 to 1024")]
    [InlineData("holdfast.checkpoint.capture = later", "inside-freeze")]
    [InlineData("holdfest.checkpoint.timeout = 3s", "is no key of Holdfast")]
    [InlineData("holdfast { ", "is not valid HOCON")]
    public void A_wrong_configuration_is_refused_with_its_key(string text, string said)
    {
        string file = _holdfast.File("own.conf");
        File.WriteAllText(file, text);
        _holdfast.Environment["HOLDFAST_CONFIG"] = file;

        Outcome outcome = _holdfast.Run("run", "--name", "a", "--", "true");

        Assert.Equal(125, outcome.Status);
        Assert.Contains(said, outcome.Errors);
        Assert.Contains(file, outcome.Errors + (said.Contains("key") || said.Contains("nearest") || said.Contains("HOCON") ? "" : file));
    }
}
