using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Inotify descriptors with their watches; see inotify(7). The kernel knows a watched file by its inode only: its path is found through the handle that
/// fdinfo shows (open_by_handle_at(2)), or among the paths that the process has anyway.
/// </summary>
internal sealed class InotifyWatches : IDescriptorKind
{
    private const ulong FIONREAD = 0x541b;

    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("inotify");

    public Refusal? Check(DescriptorFacts facts)
    {
        int unread;
        try
        {
            unread = facts.Ask(Unread);
        }
        catch (BridgeException e)
        {
            return facts.Refuse(e.Code, e.Message, "try again");
        }

        if (unread > 0)
        {
            return facts.Refuse("fd.inotify", $"{unread} bytes of events in it have not been read, and cannot be captured", "try again when they are read");
        }

        foreach (Watch watch in Parse(facts))
        {
            if (FindPath(facts, watch) is null)
            {
                return facts.Refuse("fd.inotify", $"no path of the file that its watch {watch.Number} watches can be found (inode {watch.Inode})", "remove the watch before the checkpoint");
            }
        }

        return null;
    }

    public string? Caveat(DescriptorFacts facts) => "what happens to the watched files between a snapshot and its restore is not reported";

    public OpenFileImage Capture(DescriptorFacts facts) => new InotifyImage
    {
        Flags = facts.Flags,
        Watches = [.. Parse(facts).OrderBy(watch => watch.Number).Select(watch => new WatchImage(
            watch.Number, watch.Mask, FindPath(facts, watch) ?? throw new BridgeException("fd.inotify", $"looking for inode {watch.Inode}", "no path of it can be found")))],
    };

    private static unsafe int Unread(int descriptor)
    {
        int unread = 0;
        return Libc.ioctl(descriptor, FIONREAD, &unread) < 0 ? 0 : unread;
    }

    // inotify wd:2 ino:3c5a8 sdev:fe00000 mask:100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:a8c5030000000000
    private static List<Watch> Parse(DescriptorFacts facts)
    {
        List<Watch> watches = [];
        foreach (string line in facts.Info.Split('\n').Where(line => line.StartsWith("inotify ", StringComparison.Ordinal)))
        {
            Dictionary<string, string> words = line.Split(' ').Skip(1).Select(word => word.Split(':')).Where(pair => pair.Length == 2).ToDictionary(pair => pair[0], pair => pair[1]);
            ulong Number(string name) => ulong.Parse(words.GetValueOrDefault(name, "0"), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            // The kernel's own form of a device number: 12 bits of major, 20 of minor.
            ulong device = Number("sdev");
            watches.Add(new Watch(
                (int)Number("wd"), (uint)Number("mask"), Number("ino"), device >> 20 << 32 | device & 0xfffff, (int)Number("fhandle-type"), Convert.FromHexString(words.GetValueOrDefault("f_handle", ""))));
        }

        return watches;
    }

    private static string? FindPath(DescriptorFacts facts, Watch watch) => ByHandle(facts, watch) ?? ByKnownPaths(facts, watch);

    private static unsafe string? ByHandle(DescriptorFacts facts, Watch watch)
    {
        if (watch.Handle.Length is 0 or > 128)
        {
            return null;
        }

        int* handle = stackalloc int[2 + 32];
        handle[0] = watch.Handle.Length;
        handle[1] = watch.HandleType;
        watch.Handle.CopyTo(new Span<byte>(handle + 2, 128));
        foreach (string line in (ProcFs.TryText($"/proc/{facts.Pid}/mountinfo") ?? string.Empty).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ');
            string[] device = words[2].Split(':');
            if ((ulong.Parse(device[0], CultureInfo.InvariantCulture) << 32 | ulong.Parse(device[1], CultureInfo.InvariantCulture)) != watch.Device)
            {
                continue;
            }

            int mount = Libc.open($"/proc/{facts.Pid}/root{words[4].Replace("\\040", " ", StringComparison.Ordinal)}", Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
            if (mount < 0)
            {
                continue;
            }

            int file = Libc.open_by_handle_at(mount, handle, Libc.O_PATH | Libc.O_CLOEXEC);
            string? path = file < 0 ? null : ProcFs.TryLink($"/proc/self/fd/{file}");
            _ = Libc.close(mount);
            _ = file >= 0 ? Libc.close(file) : 0;
            if (path is not null && Leads(facts, path, watch))
            {
                return path;
            }
        }

        return null;
    }

    /// <summary>For file systems that have no handles, or forget names: what the process has open or stands in, with all that is directly in it.</summary>
    private static string? ByKnownPaths(DescriptorFacts facts, Watch watch)
    {
        HashSet<string> known = [];
        foreach (string link in (IEnumerable<string>)["cwd", "root", "exe", .. ProcFs.Numbers($"/proc/{facts.Pid}/fd").Select(number => $"fd/{number}")])
        {
            for (string? path = ProcFs.TryLink($"/proc/{facts.Pid}/{link}"); path?.StartsWith('/') == true && known.Add(path);)
            {
                path = Path.GetDirectoryName(path);
            }
        }

        if (known.FirstOrDefault(path => Leads(facts, path, watch)) is { } direct)
        {
            return direct;
        }

        foreach (string directory in known.Where(path => Directory.Exists($"/proc/{facts.Pid}/root{path}")))
        {
            try
            {
                foreach (string name in Directory.EnumerateFileSystemEntries($"/proc/{facts.Pid}/root{directory}").Take(10_000).Select(entry => Path.GetFileName(entry)))
                {
                    string path = Path.Combine(directory, name);
                    if (Leads(facts, path, watch))
                    {
                        return path;
                    }
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Not there any more, or closed to us.
            }
        }

        return null;
    }

    private static bool Leads(DescriptorFacts facts, string path, Watch watch) =>
        path.StartsWith('/') && (FileIdentity.TryOfLink($"/proc/{facts.Pid}/root{path}") ?? FileIdentity.TryOfLink(path)) is { } found && found.Inode == watch.Inode && found.Device == watch.Device;

    private sealed record Watch(int Number, uint Mask, ulong Inode, ulong Device, int HandleType, byte[] Handle);
}

/// <summary>An inotify descriptor.</summary>
internal sealed record InotifyImage : OpenFileImage
{
    private const ulong INOTIFY_IOC_SETNEXTWD = 0x40044900;
    private const uint IN_DONT_FOLLOW = 0x02000000;

    public required IReadOnlyList<WatchImage> Watches { get; init; }

    public override string Description => $"inotify with {Watches.Count} watches";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => Watches.SelectMany(watch => checks.Exists(watch.Path));

    /// <summary>Without watches: these come when nothing is opened any more.</summary>
    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        tape.Add("making an inotify descriptor", X64.InotifyInit1, 0);
        RestoreContext.Place(tape, "an inotify descriptor", number);
        RestoreContext.SetFlags(tape, "an inotify descriptor", number, Flags);
    }

    /// <summary>Composes what adds the watches with the numbers that they had, in a process that has the descriptor.</summary>
    public void AddWatches(SyscallTape tape, int number)
    {
        foreach (WatchImage watch in Watches)
        {
            // The paths have no symbolic links but one that is itself watched.
            tape.Add($"number of the watch of {watch.Path}", X64.Ioctl, (ulong)number, INOTIFY_IOC_SETNEXTWD, (ulong)watch.Number);
            tape.Add($"watching {watch.Path}", X64.InotifyAddWatch, (ulong)number, tape.Place(watch.Path), watch.Mask | IN_DONT_FOLLOW);
        }
    }
}

/// <summary>A watch.</summary>
/// <param name="Number">Its descriptor, as events name it.</param>
/// <param name="Mask">Events and modes.</param>
/// <param name="Path">What is watched.</param>
internal sealed record WatchImage(int Number, uint Mask, string Path);
