using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

public sealed class ReadingTests
{
    [Fact]
    public void A_policy_with_everything_is_read_and_written_back_the_same()
    {
        var text = """
            # the policies of the shop
            policies {
              gold {
                zone = "Europe/Berlin"
                consistency = application
                keep { for = 2d, last = 5, daily = 30, weekly = 13, monthly = 3, yearly = 7 }
                copies { at-least = 2, lag = 1h, to { nas { lag = 15m }, "s3.eu" { } } }
                storage { tier = warm, compression = strong, encryption = required, immutable-for = 7d }
                points {
                  often { every = 15m, inside = [ { days = [mon-fri], from = "08:00", to = "18:00" }, { days = sat, from = "22:00", to = "02:00" } ] }
                  seldom { every = 1h30m, outside { days = [sat-mon], from = "00:00", to = "24:00" }, zone = "UTC" }
                  nightly { at = "01:00", days = [mon, wed], tolerance { before = 10m, after = 30m }, keep { for = forever } }
                  monthly { at = "05:00", day-of-month = last, catch-up = no }
                  yearly { at = "05:00:30", day-of-month = 29, month = 2, consistency = volumes }
                  quarter { at = ":15", tolerance = 5m }
                }
                triggers {
                  busy { on = cpu, above = 90%, sustained = 1m, at-most-every = 30m, within = 1m }
                  grown { on = memory-change, above = 2GiB }
                  traffic { on = network, above = 100MiB/s }
                  full { on = storage, above = 95.5% }
                  waits { on = pressure, of = memory, above = 20%, sustained = 30s }
                  edited { on = configuration-change, path = "/etc/shop \"main\".conf" }
                  probe { on = program, run = "/usr/bin/check --now", exit = 3, poll = 30s }
                  asked { on = administrator, at-most-every = 0 }
                }
                every-point { storage { encryption = required } }
                limits {
                  freeze = 200ms
                  bandwidth = 50MiB/s
                  not-during { lunch { days = [mon-fri], from = "12:00", to = "13:00", zone = "UTC" } }
                }
              }
            }
            """;
        var reading = PolicyReader.ReadText(text, "shop.conf");
        Assert.Empty(reading.Problems);
        var policy = Assert.Single(reading.Policies);
        Assert.Equal(15, policy.Rules.Count);
        Assert.Equal(3, policy.Limits.Count);

        var again = PolicyReader.ReadText(PolicyWriter.Write(policy), "again.conf");

        Assert.Empty(again.Problems);
        Assert.Equal(PolicyMerge.Join("gold", [policy]), PolicyMerge.Join("gold", again.Policies));
        Assert.Equal(new SourcePosition("shop.conf", 10, 7), policy.Find(new RuleId("gold", "often"))!.Position with { Column = 7 });
    }

    [Theory]
    [InlineData("points { x { every = 0s } }", "out of range")]
    [InlineData("points { x { every = soon } }", "not a duration")]
    [InlineData("points { x { every = 1h, at = \"01:00\" } }", "either every")]
    [InlineData("points { x { } }", "either every")]
    [InlineData("points { x { every = 1500ms } }", "whole number of seconds")]
    [InlineData("points { x { at = \"25:00\" } }", "not a time of day")]
    [InlineData("points { x { at = \":75\" } }", "not a minute")]
    [InlineData("points { x { at = \"01:00\", days = [monday] } }", "not a day")]
    [InlineData("points { x { at = \"01:00\", tolerance = 12h } }", "must not overlap")]
    [InlineData("points { x { at = \"01:00\", month = 2 } }", "needs day-of-month")]
    [InlineData("points { x { at = \"01:00\", zone = \"Mars/Olympus\" } }", "no time zone")]
    [InlineData("points { x { every = 1h, retain { for = 1d } } }", "not a key")]
    [InlineData("points { x { every = 1h, keep { last = -1 } } }", "whole number")]
    [InlineData("points { x { every = 1h, consistency = perfect } }", "must be one of")]
    [InlineData("points { x { every = 1h, copies { } } }", "needs to")]
    [InlineData("points { x { every = 1h, inside { from = \"01:00\" } } }", "from and to")]
    [InlineData("triggers { x { on = cpu } }", "needs above")]
    [InlineData("triggers { x { on = cpu, above = 200% } }", "needs above")]
    [InlineData("triggers { x { on = program } }", "needs run")]
    [InlineData("triggers { x { on = pressure, above = 20% } }", "needs of = cpu, memory or io")]
    [InlineData("triggers { x { on = pressure, of = disk, above = 20% } }", "'disk' has no pressure")]
    [InlineData("triggers { x { on = pressure, of = io } }", "needs above")]
    [InlineData("limits { freeze = 2h }", "out of range")]
    [InlineData("limits { bandwidth = fast }", "not a bandwidth")]
    [InlineData("points { x { every = ${t} } }", "substitutions")]
    public void What_is_wrong_is_refused_with_file_line_and_rule(string body, string expected)
    {
        var reading = PolicyReader.ReadText($"policies {{\n  p {{\n    {body}\n  }}\n}}", "bad.conf");

        Assert.True(reading.HasErrors);
        Assert.Empty(reading.Policies);
        var problem = reading.Problems.First(p => p.Message.Contains(expected, StringComparison.Ordinal));
        Assert.Equal(("bad.conf", 3), (problem.Position.File, problem.Position.Line));
        if (problem.Policy.Length > 0)
        {
            Assert.StartsWith("bad.conf:3: p.", problem.ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void One_bad_policy_does_not_hide_a_good_one()
    {
        var reading = PolicyReader.ReadText("policies { bad { points { x { } } }, good { points { x { every = 1h } } } }", "f");

        Assert.Equal("good", Assert.Single(reading.Policies).Name);
        Assert.Equal("bad", Assert.Single(reading.Problems).Policy);
    }

    [Theory]
    [InlineData("a { b = 1", "never closed")]
    [InlineData("a = \"x", "never closed")]
    [InlineData("a = [1, 2", "never closed")]
    [InlineData("a b", "no value")]
    [InlineData("a", "no value")]
    [InlineData("} ", "should")]
    [InlineData("a += 1", "+=")]
    [InlineData("include \"x\"", "include")]
    [InlineData("a = \"\\q\"", "escape")]
    public void Text_that_is_not_hocon_is_refused_where_it_goes_wrong(string text, string expected)
    {
        var error = Assert.Throws<ConfigSyntaxException>(() => HoconReader.Read("x = 1\n" + text, "f.conf"));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(2, error.Position.Line);
    }

    [Fact]
    public void Hocon_merges_objects_reads_dotted_keys_and_ignores_comments()
    {
        var root = HoconReader.Read("a.b = 1 // one\na { c : two words # not this\n d = [x, \"y\\u0041\",\n z] }\n\"q.r\" = true", "f");
        var a = Assert.IsType<ConfigObject>(root["a"]);
        Assert.Equal("1", Assert.IsType<ConfigScalar>(a["b"]).Text);
        Assert.Equal("two words", Assert.IsType<ConfigScalar>(a["c"]).Text);
        Assert.Equal(["x", "yA", "z"], Assert.IsType<ConfigArray>(a["d"]).Items.Cast<ConfigScalar>().Select(s => s.Text));
        Assert.NotNull(root["q.r"]);
        Assert.Equal(2, a["c"]!.Position.Line);
    }

    [Theory]
    [InlineData("90s", 90)]
    [InlineData("1h30m", 5400)]
    [InlineData("2 weeks", 1209600)]
    [InlineData("1.5h", 5400)]
    [InlineData("0", 0)]
    public void Durations_are_read_and_written_back(string text, int seconds)
    {
        Assert.True(Quantity.TryParseDuration(text, out var value));
        Assert.Equal(Duration.FromSeconds(seconds), value);
        Assert.True(Quantity.TryParseDuration(Quantity.Format(value), out var again));
        Assert.Equal(value, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("h")]
    [InlineData("5")]
    [InlineData("-5s")]
    [InlineData("5 parsecs")]
    [InlineData("99999999999999w")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(Quantity.TryParseDuration(text, out _));
}
