using Akka.Configuration;
using Akka.Configuration.Hocon;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class HoconSpec
{
    private static Config Parse(string text) => ConfigurationFactory.ParseString(text);

    [Theory]
    [InlineData("a = 1", "1")]
    [InlineData("a : 1", "1")]
    [InlineData("{ a = 1 }", "1")]
    [InlineData("{ \"a\" : \"1\" }", "1")]
    [InlineData("a = 1 # comment\n// another", "1")]
    [InlineData("a = x y  z", "x y  z")]
    [InlineData("a = \"x\" y \"z\"", "x y z")]
    [InlineData("a = \"\"\"raw \"quoted\" \\n\"\"\"", "raw \"quoted\" \\n")]
    [InlineData("a = \"\"\"ends in quote\"\"\"\"", "ends in quote\"")]
    [InlineData("a = \"tab\\t\\u0041\"", "tab\tA")]
    [InlineData("a = 1\na = 2", "2")]
    [InlineData("a = http://host:80/path", "http:")]
    [InlineData("a = 10.5", "10.5")]
    [InlineData("a = /x/*/y", "/x/*/y")]
    [InlineData("b = 3, a = ${b}", "3")]
    [InlineData("a = ${b}, b = 3", "3")]
    [InlineData("b { c = 3 }, a = ${b.c}x", "3x")]
    [InlineData("a = ${?missing}", null)]
    [InlineData("a = x${?missing}y", "xy")]
    [InlineData("a = 1, a = ${?missing}", "1")]
    [InlineData("a = 1, a = ${a}2", "12")]
    [InlineData("a = ${?a}first", "first")]
    [InlineData("a = null", null)]
    public void Simple_values(string text, string? expected) => Assert.Equal(expected, Parse(text).GetString("a"));

    [Fact]
    public void Sections_merge_and_paths_nest()
    {
        var config = Parse("a.b.c = 1\na { b { d = 2 } }\na.b.\"e.f\" = 3\na = ${a} { g = 4 }");
        Assert.Equal(1, config.GetInt("a.b.c"));
        Assert.Equal(2, config.GetInt("a.b.d"));
        Assert.Equal(3, config.GetInt("a.b.\"e.f\""));
        Assert.Equal(4, config.GetInt("a.g"));
        Assert.False(config.HasPath("a.b.x"));
        Assert.Null(config.GetConfig("a.x"));
        Assert.Equal(1, config.GetConfig("a").GetConfig("b").GetInt("c"));
    }

    [Fact]
    public void A_section_can_be_built_from_another_and_keep_its_own()
    {
        var config = Parse("base { x = 1, y = 2 }\nmine = ${base} { y = 3 }\nagain = ${base}\nagain.x = 9");
        Assert.Equal(1, config.GetInt("mine.x"));
        Assert.Equal(3, config.GetInt("mine.y"));
        Assert.Equal(9, config.GetInt("again.x"));
        Assert.Equal(1, config.GetInt("base.x"));
    }

    [Fact]
    public void Self_reference_inside_a_section_finds_the_former_value()
    {
        var config = Parse("a { b = 1, c = ${a.b} }\na { b = ${a.b}2 }\nlist = [1]\nlist = ${list} [2, 3]\nlist += 4\nfresh += x");
        Assert.Equal("12", config.GetString("a.b"));
        Assert.Equal([1, 2, 3, 4], config.GetIntList("list"));
        Assert.Equal(["x"], config.GetStringList("fresh"));
    }

    [Fact]
    public void Lists_take_commas_or_lines_and_numbered_sections_count_as_lists()
    {
        var config = Parse("a = [1, 2,]\nb = [\n  1\n  2\n\n  3 ]\nc { \"2\" = c, \"0\" = a, 1 = b }\nd = [ {x = 1}, {x = 2} ]\ne = [[1],[2]]\nf = [1] [2]");
        Assert.Equal([1, 2], config.GetIntList("a"));
        Assert.Equal([1, 2, 3], config.GetIntList("b"));
        Assert.Equal(["a", "b", "c"], config.GetStringList("c"));
        Assert.Equal(2, config.GetValue("d")!.GetArray()[1].GetObject()!.GetKey("x")!.GetInt());
        Assert.Equal(2, config.GetValue("e")!.GetArray().Count);
        Assert.Equal([1, 2], config.GetIntList("f"));
    }

    [Theory]
    [InlineData("10", 10)]
    [InlineData("10ms", 10)]
    [InlineData("10 millis", 10)]
    [InlineData("2s", 2000)]
    [InlineData("2 seconds", 2000)]
    [InlineData("1.5m", 90_000)]
    [InlineData("1 hour", 3_600_000)]
    [InlineData("2d", 172_800_000)]
    [InlineData("500us", 0.5)]
    [InlineData("1000 ns", 0.001)]
    public void Durations(string text, double milliseconds) => Assert.Equal(TimeSpan.FromMicroseconds(milliseconds * 1000), Parse("a = " + text).GetTimeSpan("a"));

    [Fact]
    public void Infinite_durations_are_allowed_unless_refused()
    {
        Assert.Equal(Timeout.InfiniteTimeSpan, Parse("a = infinite").GetTimeSpan("a"));
        Assert.Throws<ConfigurationException>(() => Parse("a = infinite").GetTimeSpan("a", null, false));
        Assert.Throws<ConfigurationException>(() => Parse("a = 5 parsecs").GetTimeSpan("a"));
        Assert.Throws<ConfigurationException>(() => Parse("a = -5s").GetTimeSpan("a"));
    }

    [Theory]
    [InlineData("10", 10)]
    [InlineData("10b", 10)]
    [InlineData("1K", 1024)]
    [InlineData("1 KiB", 1024)]
    [InlineData("1kB", 1000)]
    [InlineData("1.5M", 1_572_864)]
    [InlineData("2 GB", 2_000_000_000)]
    public void Sizes(string text, long bytes) => Assert.Equal(bytes, Parse("a = " + text).GetByteSize("a"));

    [Fact]
    public void Booleans_and_numbers_and_their_defaults()
    {
        var config = Parse("a = on, b = yes, c = true, d = off, e = no, f = false, n = 42, x = 1.5");
        Assert.True(config.GetBoolean("a") && config.GetBoolean("b") && config.GetBoolean("c"));
        Assert.False(config.GetBoolean("d") || config.GetBoolean("e") || config.GetBoolean("f"));
        Assert.True(config.GetBoolean("missing", true));
        Assert.Equal(42L, config.GetLong("n"));
        Assert.Equal(1.5, config.GetDouble("x"));
        Assert.Equal(1.5m, config.GetDecimal("x"));
        Assert.Equal(7, config.GetInt("missing", 7));
        Assert.Equal(0, config.GetInt("missing"));
        Assert.Contains("x", Assert.Throws<ConfigurationException>(() => config.GetInt("x")).Message);
        Assert.Throws<ConfigurationException>(() => config.GetBoolean("n"));
    }

    [Fact]
    public void A_configuration_is_completed_from_its_fallback()
    {
        var config = Parse("a { x = 1 }, l = [1]").WithFallback(Parse("a { x = 2, y = 3 }, b = 4, l = [2, 3]")).WithFallback(Parse("b = 5, c = 6"));
        Assert.Equal(1, config.GetInt("a.x"));
        Assert.Equal(3, config.GetInt("a.y"));
        Assert.Equal(4, config.GetInt("b"));
        Assert.Equal(6, config.GetInt("c"));
        Assert.Equal([1], config.GetIntList("l"));
        Assert.Throws<ArgumentException>(() => config.WithFallback(config));
    }

    [Fact]
    public void Includes_are_merged_in_place_and_their_substitutions_look_at_home_first()
    {
        var files = new Dictionary<string, string>
        {
            ["one"] = "x = 1, y = ${x}, z = ${outer}",
            ["two"] = "x = 2\ninclude file(\"one\")",
        };
        HoconRoot Include(string name) => files.TryGetValue(name, out var text) ? Parser.Parse(text, Include) : null!;
        var config = ConfigurationFactory.ParseString("outer = 9\nx = 0\ninclude \"one\"\nsub { include required(\"two\") }\ninclude \"absent\"", Include);
        Assert.Equal(1, config.GetInt("x"));
        Assert.Equal(1, config.GetInt("y"));
        Assert.Equal(9, config.GetInt("z"));
        Assert.Equal(1, config.GetInt("sub.x"));
        Assert.Equal(1, config.GetInt("sub.y"));
        Assert.Throws<ConfigurationException>(() => ConfigurationFactory.ParseString("include required(\"absent\")", Include));
        Assert.Throws<ConfigurationException>(() => Parse("include \"one\""));
    }

    [Fact]
    public void The_environment_is_the_last_resort_of_a_substitution()
    {
        Environment.SetEnvironmentVariable("HOLDFAST_HOCON_SPEC", "from outside");
        try
        {
            Assert.Equal("from outside", Parse("a = ${HOLDFAST_HOCON_SPEC}").GetString("a"));
            Assert.Equal("inside", Parse("HOLDFAST_HOCON_SPEC = inside, a = ${HOLDFAST_HOCON_SPEC}").GetString("a"));
            Assert.Equal("from outside", Parse("a = default, a = ${?HOLDFAST_HOCON_SPEC}").GetString("a"));
        }
        finally
        {
            Environment.SetEnvironmentVariable("HOLDFAST_HOCON_SPEC", null);
        }
    }

    [Theory]
    [InlineData("a = 1\nb = {\n  c = 2\n", "text:2:5")]
    [InlineData("a = [1, 2", "text:1:5")]
    [InlineData("a = \"open", "text:1:5")]
    [InlineData("a = ${b}", "text:1:5")]
    [InlineData("a = ${b", "text:1:5")]
    [InlineData("a 1", "text:1")]
    [InlineData("\n\n  = 1", "text:3:3")]
    [InlineData("a = }", "text:1")]
    [InlineData("a = 1 }", "text:1")]
    [InlineData("a = \"x\\q\"", "text:1:8")]
    [InlineData("a =", "text:1")]
    [InlineData("a = [1] x", "text:1:9")]
    [InlineData("a = ${a}", "text:1:5")]
    [InlineData("a = ${b}, b = ${a}", "text:1")]
    public void Errors_say_where(string text, string place) => Assert.StartsWith(place, Assert.Throws<ConfigurationException>(() => Parse(text)).Message);

    [Fact]
    public void What_is_printed_reads_back()
    {
        var config = Parse("a { b = \"x \\\" y\", c = [1, {d = 2}, \"\"], \"k.l\" = 5 }, n = null, t = on");
        var again = Parse(config.ToString());
        Assert.Equal(config.ToString(), again.ToString());
        Assert.Equal("x \" y", again.GetString("a.b"));
        Assert.Equal(5, again.GetInt("a.\"k.l\""));
    }
}
