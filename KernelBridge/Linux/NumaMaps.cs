using System.Globalization;

namespace Holdfast.KernelBridge.Linux;

/// <summary>/proc/PID/numa_maps: from which NUMA nodes the areas of a process get memory (numa(7); mpol_to_str of mm/mempolicy.c).</summary>
internal static class NumaMaps
{
    // MPOL_… of include/uapi/linux/mempolicy.h, in order.
    private static readonly string[] modes = ["default", "prefer", "bind", "interleave", "local", "prefer (many)", "weighted interleave"];
    private static readonly (string Name, int Flag)[] flags = [("static", 1 << 15), ("relative", 1 << 14), ("balancing", 1 << 13)];

    /// <summary>The file of a process; null where the kernel knows no policies.</summary>
    public static string? TryRead(int pid) => ProcFs.TryText($"/proc/{pid}/numa_maps");

    /// <summary>
    /// The policies that areas have been given themselves (mbind(2)), by first address, as the file says them. Others show that of the process's first thread, which is known by
    /// the vDSO's; so does one that has been given just the same.
    /// </summary>
    /// <param name="file">The file; null where the kernel has none.</param>
    /// <param name="maps">The areas of the process.</param>
    /// <returns>Empty where the kernel knows no policies.</returns>
    public static Dictionary<ulong, string> Policies(string? file, IReadOnlyList<MemoryMap> maps)
    {
        string text = file ?? string.Empty;
        ulong vdso = maps.FirstOrDefault(map => map.IsVdso)?.Start ?? 0;
        string usual = modes[0];
        Dictionary<ulong, string> policies = [];
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int space = line.IndexOf(' ');
            if (space < 0 || !ulong.TryParse(line.AsSpan(0, space), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong start))
            {
                continue;
            }

            string policy = PolicyOf(line[(space + 1)..]);
            if (policy != modes[0])
            {
                policies[start] = policy;
            }

            usual = start == vdso ? policy : usual;
        }

        foreach (ulong start in policies.Where(policy => policy.Value == usual).Select(policy => policy.Key).ToList())
        {
            policies.Remove(start);
        }

        return policies;
    }

    /// <summary>Mode and nodes of a policy, as mbind(2) takes them.</summary>
    /// <param name="policy">For example <c>bind=static:0-1</c>.</param>
    /// <returns>The mode with its flags, and the mask of nodes without zeros at its end; null for one that is not known.</returns>
    public static (int Mode, byte[] Nodes)? Parse(string policy)
    {
        string[] parts = policy.Split(':');
        string[] names = parts[0].Split('=');
        int mode = Array.IndexOf(modes, names[0]);
        if (mode <= 0 || parts.Length > 2 || names.Length > 2)
        {
            return null;
        }

        foreach (string name in names.Length == 1 ? [] : names[1].Split('|'))
        {
            int flag = Array.Find(flags, flag => flag.Name == name).Flag;
            if (flag == 0)
            {
                return null;
            }

            mode |= flag;
        }

        List<int> nodes = [];
        foreach (string range in parts.Length == 1 ? [] : parts[1].Split(','))
        {
            string[] ends = range.Split('-');
            if (!int.TryParse(ends[0], CultureInfo.InvariantCulture, out int first) || !int.TryParse(ends[^1], CultureInfo.InvariantCulture, out int last) || last is < 0 or >= 4096)
            {
                return null;
            }

            for (int node = first; node <= last; node++)
            {
                nodes.Add(node);
            }
        }

        byte[] mask = new byte[nodes.Count == 0 ? 0 : (nodes.Max() / 8) + 1];
        nodes.ForEach(node => mask[node / 8] |= (byte)(1 << (node % 8)));
        return (mode, mask);
    }

    // Two of the names have a blank in them.
    private static string PolicyOf(string rest)
    {
        string spaced = Array.Find(modes, mode => mode.Contains(' ', StringComparison.Ordinal) && rest.StartsWith(mode, StringComparison.Ordinal)) ?? string.Empty;
        int end = rest.IndexOf(' ', spaced.Length);
        return end < 0 ? rest : rest[..end];
    }
}
