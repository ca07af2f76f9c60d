using System.Text.Json;
using System.Xml.Linq;

namespace Holdfast.Runtime.Tests;

/// <summary>What the commands on policies say, without an application.</summary>
public sealed class PolicyCommandTests : IDisposable
{
    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    private string Policy(string name, string body)
    {
        string file = _holdfast.File($"{name}.conf");
        File.WriteAllText(file, $"policies {{\n  {name} {{\n{body}\n  }}\n}}\n");
        return file;
    }

    [Fact]
    public void A_check_names_file_line_and_rule_and_ends_with_1_when_there_is_an_error()
    {
        string wrong = Policy("gold", "    points {\n      often { every = 15q }\n      other { evry = 1h }\n    }");

        Outcome outcome = _holdfast.Run("policy", "check", wrong);

        Assert.Equal(1, outcome.Status);
        Assert.Contains($"{wrong}:4: gold.often: error: ", outcome.Output);
        Assert.Contains($"{wrong}:5: gold.other: error: ", outcome.Output);
        Assert.Matches(@"^holdfast: \d errors\n$", outcome.Errors);
        outcome = _holdfast.Run("-o", "json", "policy", "check", wrong);
        Assert.Contains(outcome.JsonLines, l => l.TryGetProperty("line", out JsonElement line) && line.GetInt32() == 4 && l.GetProperty("rule").GetString() == "often");
        Assert.Equal("policy.invalid", outcome.JsonLines[^1].GetProperty("error").GetString());
    }

    [Fact]
    public void A_check_warns_of_what_is_valid_and_not_meant()
    {
        string gold = Policy("gold", "points { often { every = 15m, keep { for = 1d } }, seldom { every = 1h, keep { for = 1h } } }");
        string daily = Policy("daily", "points { night { at = \"01:00\", tolerance = 1h, keep { daily = 30 } } }");

        Outcome outcome = _holdfast.Run("policy", "check", gold, daily).Succeeds();

        Assert.Contains("gold.seldom: warning: it can never matter: gold.often", outcome.Output);
        Assert.DoesNotContain("daily.night", outcome.Output);
        Assert.Empty(_holdfast.Run("policy", "check", daily).Succeeds().Output);
        Assert.Equal(1, _holdfast.Run("policy", "check", gold, gold).Status);
        Outcome missing = _holdfast.Run("-o", "json", "policy", "check", _holdfast.File("nothing.conf"));
        Assert.Equal((1, "policy.unreadable"), (missing.Status, missing.Json.GetProperty("error").GetString()));
        Assert.False(Directory.Exists(_holdfast.Store));
    }

    [Fact]
    public void A_plan_is_a_table_json_and_a_drawing()
    {
        string gold = Policy("gold", "points { often { every = 6h, keep { for = 1d } }, night { at = \"01:00\", tolerance = 30m, zone = \"Europe/Berlin\", keep { daily = 30 } } }");
        string svg = _holdfast.File("plan.svg");

        Outcome table = _holdfast.Run("policy", "plan", gold, "--next", "3", "--from", "2026-01-04T23:00:00Z", "--zone", "Europe/Berlin").Succeeds();
        string[] lines = table.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(4, lines.Length);
        Assert.StartsWith("2026-01-05 01:30:00+01", lines[1]);
        Assert.Contains("gold.night (for 2026-01-05 01:00:00+01)", lines[1]);
        Assert.Contains("gold.often (every 6h)", lines[1]);

        Outcome json = _holdfast.Run("-o", "json", "policy", "plan", gold, "--horizon", "90d", "--from", "2026-01-05T00:00:00Z", "--svg", svg).Succeeds();
        List<JsonElement> points = [.. json.JsonLines.Where(l => l.TryGetProperty("kind", out JsonElement kind) && kind.GetString() == "point")];
        List<JsonElement> snapshots = [.. json.JsonLines.Where(l => l.TryGetProperty("keep", out _))];
        Assert.InRange(points.Count, 360, 361);
        Assert.Equal(points.Count, snapshots.Count);
        Assert.InRange(snapshots.Count(s => s.GetProperty("keep").GetBoolean()), 30, 36);
        Assert.All(snapshots.Where(s => !s.GetProperty("keep").GetBoolean()), s => Assert.NotEqual(0, s.GetProperty("why").GetArrayLength()));
        Assert.Contains(XDocument.Load(svg).Descendants(), e => e.Name.LocalName == "circle");
    }

    [Theory]
    [InlineData("--next 0")]
    [InlineData("--next some")]
    [InlineData("--horizon 3q")]
    [InlineData("--horizon 0")]
    [InlineData("--horizon 100y")]
    [InlineData("--from yesterday")]
    [InlineData("--zone Moon/Base")]
    public void A_plan_that_cannot_be_is_wrong_usage(string options)
    {
        string gold = Policy("gold", "points { often { every = 6h, keep { for = 1d } } }");

        Outcome outcome = _holdfast.Run(["policy", "plan", gold, .. options.Split(' ')]);

        Assert.Equal(2, outcome.Status);
        Assert.Matches(@"^holdfast: policy plan: [^\n]+\n$", outcome.Errors);
    }

    [Fact]
    public void A_merge_is_a_policy_with_its_provenance_and_its_costs()
    {
        string a = Policy("a", "points { x { every = 1h, keep { for = 1d } }, y { every = 4h, keep { for = 1h } } }");
        string b = Policy("b", "points { x { every = 1h, keep { for = 1d } }, z { at = \"01:00\", tolerance = 1h, keep { daily = 30 } } }");

        string merged = _holdfast.Run("policy", "merge", a, b, "--name", "both").Succeeds().Output;

        Assert.Contains("merged-from = [\"a.x\", \"b.x\"]", merged);
        Assert.Matches(@"# a alone +\d", merged);
        Assert.Matches(@"# side by side +\d", merged);
        Assert.Matches(@"# a\.y +covered by a\.x \+ b\.x", merged);
        File.WriteAllText(_holdfast.File("both.conf"), merged);
        Assert.Equal(0, _holdfast.Run("policy", "check", _holdfast.File("both.conf")).Status);
        // The merged policy plans as the two do.
        string[] from = ["--from", "2026-01-05T00:00:00Z", "--next", "50"];
        IEnumerable<string?> Times(params string[] files) =>
            _holdfast.Run(["-o", "json", "policy", "plan", .. files, .. from]).Succeeds().JsonLines.Select(l => l.GetProperty("at").GetString());
        Assert.Equal(Times(a, b), Times(_holdfast.File("both.conf")));
        Assert.True(_holdfast.Run("-o", "json", "policy", "merge", a, b).Succeeds().Json.GetProperty("accepted").GetBoolean());
    }

    [Fact]
    public void A_merge_above_the_threshold_is_refused_with_the_costly_rules_and_the_nearest_fit()
    {
        string a = Policy("a", "points { x { every = 1h, keep { for = 1d } } }");
        string b = Policy("b", "points { z { every = 6h, keep { daily = 30 } } }");

        Outcome text = _holdfast.Run("policy", "merge", a, b, "--threshold", "checkpoints<=12/d");
        Assert.Equal(1, text.Status);
        Assert.Contains("nearest policy that fits", text.Output);
        Assert.Matches(@"^holdfast: the merged policy is refused: checkpoints is 24/d, the threshold is 12/d\n$", text.Errors);

        Outcome json = _holdfast.Run("-o", "json", "policy", "merge", a, b, "--threshold", "checkpoints<=12/d");
        JsonElement refusal = json.JsonLines[0].GetProperty("refusal");
        Assert.Equal("a.x", refusal.GetProperty("costly")[0].GetProperty("rule")[0].GetString());
        Assert.True(refusal.GetProperty("relaxations").GetArrayLength() > 0);
        Assert.Equal("policy.threshold", json.JsonLines[1].GetProperty("error").GetString());
        File.WriteAllText(_holdfast.File("fits.conf"), refusal.GetProperty("nearest").GetProperty("hocon").GetString());
        Assert.Equal(0, _holdfast.Run("policy", "merge", _holdfast.File("fits.conf"), "--threshold", "checkpoints<=12/d").Status);

        Assert.Equal(2, _holdfast.Run("policy", "merge", a, b, "--threshold", "much").Status);
        Assert.Equal(2, _holdfast.Run("policy", "merge", a, b, "--ways", "retention=somehow").Status);
        Assert.Equal(0, _holdfast.Run("policy", "merge", a, b, "--ways", "retention=strictest", "--threshold", "all<=200%").Status);
    }

    [Fact]
    public void Every_command_on_policies_has_help_with_an_example()
    {
        string help = _holdfast.Run("policy", "--help").Succeeds().Output;
        foreach (string command in (string[])["check", "plan", "merge", "explain", "assign", "unassign", "status", "trigger"])
        {
            Assert.Contains($"  {command} ", help);
            string own = _holdfast.Run("policy", command, "--help").Succeeds().Output;
            Assert.Contains($"Usage:\n  holdfast policy {command} ", own);
            Assert.Contains($"holdfast {(own.Contains("-o json policy") ? "" : "policy ")}", own.Split("Examples:")[1]);
        }
    }
}
