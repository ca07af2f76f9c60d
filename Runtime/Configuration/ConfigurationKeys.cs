using Akka.Configuration;

namespace Holdfast.Runtime.Configuration;

/// <summary>
/// Finds keys that nobody reads: a mistyped deadline must not go unnoticed. Everything under <c>holdfast</c> has to be in reference.conf;
/// what stands beside it belongs to the actor engine and is its own to check.
/// </summary>
internal static class ConfigurationKeys
{
    public static void RefuseUnknown(Config own, Config reference, string source)
    {
        HashSet<string> known = [.. Paths(reference)];
        foreach (string path in Paths(own))
        {
            if (!path.StartsWith("holdfast.", StringComparison.Ordinal) && !path.StartsWith("akka.", StringComparison.Ordinal))
            {
                throw new HoldfastException("config.unknown_key", $"{source}: {path} is no key of Holdfast; see Hocon/reference.conf", ExitStatus.Usage);
            }

            if (path.StartsWith("holdfast.", StringComparison.Ordinal) && !known.Contains(path))
            {
                string? near = known.OrderBy(k => Distance(k, path)).FirstOrDefault();
                throw new HoldfastException("config.unknown_key", $"{source}: {path} is no key of Holdfast; the nearest is {near}", ExitStatus.Usage);
            }
        }
    }

    /// <summary>The paths of all values, dotted.</summary>
    private static IEnumerable<string> Paths(Config config) => config.AsEnumerable().SelectMany(pair => Paths(pair.Key, pair.Value));

    private static IEnumerable<string> Paths(string path, Akka.Configuration.Hocon.HoconValue value) => value.IsObject()
        ? value.GetObject()!.Items.SelectMany(pair => Paths($"{path}.{pair.Key}", pair.Value))
        : [path];

    // Levenshtein, for "the nearest is".
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[^1];
    }
}
