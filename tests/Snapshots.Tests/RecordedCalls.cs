using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Holdfast.Snapshots.Tests;

/// <summary>A recorded call that changes files below a directory, or a line that the program said.</summary>
/// <param name="Name">The system call, or <c>say</c>.</param>
/// <param name="Path">The file; for a line, the line.</param>
/// <param name="Other">The second path of rename and link.</param>
/// <param name="Data">Bytes written.</param>
/// <param name="Offset">Where they go; the length of ftruncate.</param>
internal sealed record RecordedCall(string Name, string Path, string Other, byte[] Data, long Offset);

/// <summary>Reads what strace -y -xx recorded.</summary>
internal static partial class RecordedCalls
{
    public static List<RecordedCall> Read(string trace, string root)
    {
        var calls = new List<RecordedCall>();
        var unfinished = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string raw in File.ReadLines(trace))
        {
            string line = raw;
            string pid = line[..line.IndexOf(' ')];
            string rest = line[pid.Length..].TrimStart();
            if (rest.EndsWith("<unfinished ...>", StringComparison.Ordinal))
            {
                unfinished[pid] = rest[..^"<unfinished ...>".Length].TrimEnd();
                continue;
            }

            Match resumed = Resumed().Match(rest);
            if (resumed.Success && unfinished.Remove(pid, out string? begun))
            {
                rest = begun + resumed.Groups[1].Value;
            }

            Match match = Call().Match(rest);
            if (match.Success && !match.Groups[3].Value.StartsWith('-') && Parse(match.Groups[1].Value, match.Groups[2].Value, root) is { } call)
            {
                calls.Add(call);
            }
        }

        return calls;
    }

    private static RecordedCall? Parse(string name, string arguments, string root)
    {
        string[] texts = [.. Quoted().Matches(arguments).Select(m => Unescape(m.Groups[1].Value))];
        string[] files = [.. Descriptor().Matches(arguments).Select(m => Unescape(m.Groups[1].Value))];
        string number = arguments[(arguments.LastIndexOf(',') + 1)..].Trim();
        switch (name)
        {
            case "openat":
                string opened = texts[0];
                return opened.StartsWith(root, StringComparison.Ordinal) && arguments.Contains("O_CREAT", StringComparison.Ordinal)
                    ? new RecordedCall("create", opened, string.Empty, [], 0) : null;
            case "write":
                string said = texts.Length > 0 ? texts[0] : string.Empty;
                return files[0].StartsWith(root, StringComparison.Ordinal) || !Said().IsMatch(said)
                    ? null : new RecordedCall("say", said.TrimEnd('\n'), string.Empty, [], 0);
            case "pwrite64":
                return Inside(new RecordedCall("write", files[0], string.Empty, Encoding.Latin1.GetBytes(texts[0]), long.Parse(number, CultureInfo.InvariantCulture)), root);
            case "fsync" or "fdatasync":
                return Inside(new RecordedCall("fsync", files[0], string.Empty, [], 0), root);
            case "rename" or "link":
                return Inside(new RecordedCall(name, texts[0], texts[1], [], 0), root);
            case "unlink":
                return Inside(new RecordedCall("unlink", texts[0], string.Empty, [], 0), root);
            case "mkdir":
                return Inside(new RecordedCall("mkdir", texts[0], string.Empty, [], 0), root);
            case "ftruncate":
                return Inside(new RecordedCall("truncate", files[0], string.Empty, [], long.Parse(number, CultureInfo.InvariantCulture)), root);
            case "fallocate":
                string[] parts = arguments.Split(',');
                return Inside(
                    new RecordedCall("punch", files[0], parts[^1].Trim(), [], long.Parse(parts[^2].Trim(), CultureInfo.InvariantCulture)), root);
            default:
                // Another way to change a file that this does not know must not go unnoticed.
                string all = string.Concat(texts) + string.Concat(files);
                return all.Contains(root, StringComparison.Ordinal) ? throw new InvalidOperationException($"{name} is not understood") : null;
        }
    }

    private static RecordedCall? Inside(RecordedCall call, string root) => call.Path.StartsWith(root, StringComparison.Ordinal) ? call : null;

    private static string Unescape(string hex)
    {
        var text = new StringBuilder();
        for (int i = 0; i + 3 < hex.Length; i += 4)
        {
            text.Append((char)Convert.ToByte(hex.Substring(i + 2, 2), 16));
        }

        return text.ToString();
    }

    [GeneratedRegex(@"^(\w+)\((.*)\)\s+= (-?\d+|\?)")]
    private static partial Regex Call();

    [GeneratedRegex(@"^<\.\.\. \w+ resumed>(.*)$")]
    private static partial Regex Resumed();

    [GeneratedRegex("\"((?:\\\\x[0-9a-f]{2})*)\"")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\d+<((?:\\x[0-9a-f]{2})*)>")]
    private static partial Regex Descriptor();

    [GeneratedRegex("^(ready|done|committed .*|forgetting .*|forgot .*)\n$")]
    private static partial Regex Said();
}
