using System.Globalization;
using Akka.Configuration;
using FsCheck.Fluent;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class HoconModelSpec
{
    [Fact]
    public void What_is_printed_reads_back_as_the_same() => FsCheck.Check.QuickThrowOnFailure(Prop.ForAll(Arb.From(Gen.Choose(0, int.MaxValue)), number =>
    {
        var random = new Random(number);
        var text = Section(random, 3);
        var first = ConfigurationFactory.ParseString(text);
        var second = ConfigurationFactory.ParseString(first.ToString());
        return first.ToString() == second.ToString() && Flat(first.Root, "").SequenceEqual(Flat(second.Root, ""));
    }));

    private static IEnumerable<string> Flat(Akka.Configuration.Hocon.HoconValue value, string path) =>
        value.IsObject() ? value.GetObject()!.Items.OrderBy(item => item.Key, StringComparer.Ordinal).SelectMany(item => Flat(item.Value, path + "/" + item.Key))
        : value.IsArray() ? value.GetArray().SelectMany((item, i) => Flat(item, path + "[" + i.ToString(CultureInfo.InvariantCulture) + "]"))
        : [path + "=" + value.GetString()];

    private static string Section(Random random, int depth) => string.Concat(Enumerable.Range(0, random.Next(1, 5)).Select(_ => Key(random) + " " + Separated(random, depth)));

    private static string Separated(Random random, int depth) => random.Next(4) == 0 && depth > 0
        ? "{\n" + Section(random, depth - 1) + "}" + End(random)
        : (random.Next(2) == 0 ? "= " : ": ") + Value(random, depth) + End(random);

    private static string End(Random random) => random.Next(3) switch
    {
        0 => ",\n",
        1 => " # comment, { not a section\n",
        _ => "\n",
    };

    private static string Key(Random random) => random.Next(4) switch
    {
        0 => "\"quoted " + Word(random) + "\"",
        1 => Word(random) + "." + Word(random),
        _ => Word(random),
    };

    private static string Value(Random random, int depth) => random.Next(depth > 0 ? 7 : 5) switch
    {
        0 => random.Next(-1000, 1000).ToString(CultureInfo.InvariantCulture),
        1 => Word(random) + " " + Word(random),
        2 => "\"a \\\"quoted\\\" \\\\ text\\n" + Word(random) + "\"",
        3 => random.Next(2) == 0 ? "on" : "null",
        4 => "\"\"\"raw \"" + Word(random) + "\" \\n\"\"\"",
        5 => "[" + string.Join(", ", Enumerable.Range(0, random.Next(4)).Select(_ => Value(random, depth - 1))) + "]",
        _ => "{ " + Word(random) + " = " + Value(random, depth - 1) + " }",
    };

    private static string Word(Random random) => new([.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => "abcxyz-_0"[random.Next(9)])]);
}
