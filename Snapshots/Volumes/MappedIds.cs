using System.Globalization;

namespace Holdfast.Snapshots;

/// <summary>
/// Users or groups that exist in this process's user namespace (user_namespaces(7)). The owners of other files all look like nobody, and can be neither recorded nor
/// put back.
/// </summary>
internal sealed class MappedIds
{
    private readonly List<(long First, long Count)> _ranges = [];

    private MappedIds(string file)
    {
        foreach (string line in File.Exists(file) ? File.ReadLines(file) : [])
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            _ranges.Add((long.Parse(words[0], CultureInfo.InvariantCulture), long.Parse(words[2], CultureInfo.InvariantCulture)));
        }
    }

    public static MappedIds Users { get; } = new("/proc/self/uid_map");

    public static MappedIds Groups { get; } = new("/proc/self/gid_map");

    /// <summary>Whether there is such a one. A kernel without user namespaces has all.</summary>
    public bool Has(uint id) => _ranges.Count == 0 || _ranges.Exists(range => id >= range.First && id - range.First < range.Count);
}
