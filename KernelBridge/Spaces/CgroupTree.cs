using System.Runtime.InteropServices;
using System.Text;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// The two cgroup-v2 groups of an application, <c>holdfast/NAME.RANDOM/{init,app}</c> below the v2 mount: two, so that freezing the
/// application does not freeze its init. See cgroups(7) and Documentation/admin-guide/cgroup-v2.rst.
/// </summary>
/// <param name="Directory">The directory that holds both.</param>
internal sealed record CgroupTree(string Directory)
{
    private const string Parent = "holdfast";
    private const int LongestName = 64;
    private static readonly TimeSpan emptyDeadline = TimeSpan.FromSeconds(5);
    // A launch makes its groups long before they are populated only when it hangs; its own deadline is shorter.
    private static readonly TimeSpan leftoverAge = TimeSpan.FromMinutes(5);

    /// <summary>The group of the space's init.</summary>
    public string Init => Path.Combine(Directory, "init");

    /// <summary>The group of the application.</summary>
    public string App => Path.Combine(Directory, "app");

    /// <summary>The mount points of cgroup v2, from the text of mountinfo; see proc_pid_mountinfo(5).</summary>
    /// <param name="mountinfo">Its lines.</param>
    /// <param name="controller">When given: those of this controller in cgroup v1 instead.</param>
    public static IEnumerable<string> FindMounts(IEnumerable<string> mountinfo, string? controller = null)
    {
        foreach (string line in mountinfo)
        {
            string[] fields = line.Split(' ');
            int separator = Array.IndexOf(fields, "-");
            if (separator > 5 && separator + 1 < fields.Length && (controller is null ? fields[separator + 1] == "cgroup2" : fields[separator + 1] == "cgroup" && fields[^1].Split(',').Contains(controller)))
            {
                yield return Unescape(fields[4]);
            }
        }
    }

    /// <summary>Where groups can be made: at the top of a v2 hierarchy; where that is not ours, in this process's own group, which a user's session may have been given.</summary>
    public static IEnumerable<string> Places()
    {
        List<string> mounts = [.. FindMounts(File.ReadLines("/proc/self/mountinfo"))];
        string? own = File.ReadLines("/proc/self/cgroup").FirstOrDefault(line => line.StartsWith("0::/", StringComparison.Ordinal))?[4..];
        return [.. mounts, .. own is { Length: > 0 } ? mounts.Select(mount => Path.Combine(mount, own)).Where(System.IO.Directory.Exists) : []];
    }

    /// <summary>The first place in which this process may make groups; null when there is none.</summary>
    public static string? Writable() => Places().FirstOrDefault(place => Access(place, W_OK) == 0 && Access(Path.Combine(place, "cgroup.procs"), W_OK) == 0);

    /// <summary>Makes the groups in the first place that lets us.</summary>
    /// <returns>Null when there is no writable one.</returns>
    public static CgroupTree? Create(string applicationName)
    {
        foreach (string place in Places())
        {
            RemoveLeftovers(Path.Combine(place, Parent), DateTime.UtcNow - leftoverAge);
            string name = $"{Sanitise(applicationName)}.{Convert.ToHexStringLower(Guid.NewGuid().ToByteArray().AsSpan(0, 6))}";
            var tree = new CgroupTree(Path.Combine(place, Parent, name));
            if (tree.TryMake(Path.Combine(place, Parent)) && tree.MayBeJoined(place))
            {
                return tree;
            }

            tree.Remove();
        }

        return null;
    }

    /// <summary>The groups of an application, from <see cref="ApplicationTarget.CgroupPath"/>, which names the application's.</summary>
    /// <returns>Null when the path is not one that <see cref="Create"/> could have made.</returns>
    public static CgroupTree? Of(string? cgroupPath)
    {
        if (cgroupPath is null || Path.GetFileName(cgroupPath) != "app" || Path.GetDirectoryName(cgroupPath) is not { } directory
            || Path.GetFileName(Path.GetDirectoryName(directory)) != Parent)
        {
            return null;
        }

        return new CgroupTree(directory);
    }

    /// <summary>Removes the groups, and those that the application made below its own. Does nothing for what is gone already.</summary>
    /// <returns>False when something in them lives on.</returns>
    public bool Remove()
    {
        // The last task of a group is out of it a moment after its parent could reap it.
        if (System.IO.Directory.Exists(App) && !CgroupFreezer.WaitForEvent(App, "populated 0", emptyDeadline))
        {
            return false;
        }

        bool gone = RemoveWithChildren(App) & RemoveWithChildren(Init) & RemoveOne(Directory);
        // Fails as long as there is another application, which is what it should do.
        RemoveDirectory(Path.GetDirectoryName(Directory)!);
        return gone;
    }

    /// <summary>Removes the empty groups of applications whose supervisor died before it could, and which nobody asked for since.</summary>
    /// <param name="parent">The directory that holds the applications' directories.</param>
    /// <param name="madeBefore">Younger ones may be of a launch that is under way.</param>
    public static void RemoveLeftovers(string parent, DateTime madeBefore)
    {
        string[] directories;
        try
        {
            directories = System.IO.Directory.GetDirectories(parent);
        }
        catch (DirectoryNotFoundException)
        {
            // No application runs, or the last one has just taken it away.
            return;
        }

        foreach (string directory in directories)
        {
            if (System.IO.Directory.GetLastWriteTimeUtc(directory) < madeBefore && CgroupFreezer.WaitForEvent(directory, "populated 0", TimeSpan.Zero))
            {
                RemoveWithChildren(directory);
            }
        }
    }

    private static bool RemoveWithChildren(string group)
    {
        try
        {
            foreach (string child in System.IO.Directory.GetDirectories(group))
            {
                RemoveWithChildren(child);
            }
        }
        catch (DirectoryNotFoundException)
        {
            // Somebody else has removed it.
        }

        return RemoveOne(group);
    }

    private static bool RemoveOne(string group) => RemoveDirectory(group) == 0 || Marshal.GetLastPInvokeError() == ENOENT;

    private bool TryMake(string parent)
    {
        // Another application's removal may take the parent away between the first call and the second.
        for (int attempt = 0; ; attempt++)
        {
            if (MakeDirectory(parent, 0x1ed) < 0 && Marshal.GetLastPInvokeError() != EEXIST)
            {
                return false;
            }

            if (MakeDirectory(Directory, 0x1ed) == 0)
            {
                break;
            }

            if (Marshal.GetLastPInvokeError() != ENOENT || attempt == 100)
            {
                return false;
            }
        }

        return MakeDirectory(Init, 0x1ed) == 0 && MakeDirectory(App, 0x1ed) == 0 && File.Exists(Path.Combine(App, "cgroup.freeze"));
    }

    // To move a process between groups takes the right to write to the group that holds both (cgroups(7)).
    private bool MayBeJoined(string place) =>
        Access(Path.Combine(place, "cgroup.procs"), W_OK) == 0 && Access(Path.Combine(App, "cgroup.procs"), W_OK) == 0;

    private static string Sanitise(string name)
    {
        StringBuilder clean = new();
        foreach (char c in name.Take(LongestName))
        {
            clean.Append(char.IsAsciiLetterOrDigit(c) || c is '-' or '_' ? c : '_');
        }

        return clean.Length == 0 ? "_" : clean.ToString();
    }

    private static string Unescape(string field) =>
        field.Replace("\\040", " ").Replace("\\011", "\t").Replace("\\012", "\n").Replace("\\134", "\\");
}
