namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>The output of the sample applications: line i is "i i*i+7*i+1", the last one "end".</summary>
internal static class ForetoldOutput
{
    /// <summary>Requires that every line is there once, in order and right; an unfinished last line is left alone while the program runs.</summary>
    /// <returns>How many numbered lines there are.</returns>
    public static int RequireWhole(string path, bool ended)
    {
        var text = File.Exists(path) ? File.ReadAllText(path) : "";
        var lines = text.Split('\n');
        var whole = lines.Length - 1;
        var numbered = 0;
        for (var i = 0; i < whole; i++)
        {
            if (ended && i == whole - 1 && lines[i] == "end")
            {
                return numbered;
            }

            long n = i;
            var expected = $"{n} {(n * n) + (7 * n) + 1}";
            if (lines[i] != expected)
            {
                throw new EndToEndException($"{Path.GetFileName(path)}, line {i} is \"{lines[i]}\", expected \"{expected}\"");
            }

            numbered++;
        }

        return ended ? throw new EndToEndException($"{Path.GetFileName(path)} has {numbered} right lines but no end") : numbered;
    }
}
