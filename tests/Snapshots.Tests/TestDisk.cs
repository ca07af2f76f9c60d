using System.Diagnostics;

namespace Holdfast.Snapshots.Tests;

/// <summary>A file system of its own on a loop device, unmounted with the test.</summary>
internal sealed class TestDisk : IDisposable
{
    private readonly string _image;

    public TestDisk(TestDirectory directory, string make)
    {
        _image = directory["disk"];
        Root = directory["mounted"];
        Directory.CreateDirectory(Root);
        using (FileStream image = File.Create(_image))
        {
            image.SetLength(512L << 20);
        }

        Assert.Equal(0, Run("/bin/sh", $"{make} {_image}"));
        Assert.Equal(0, Run("/bin/sh", $"mount -o loop {_image} {Root}"));
    }

    public string Root { get; }

    public string this[string name] => Path.Combine(Root, name);

    /// <summary>Why there can be none of a kind here; null when there can.</summary>
    public static string? WhyNot(string make)
    {
        string program = make.Split(' ')[0];
        return Environment.UserName != "root" ? "only root mounts file systems"
            : !File.Exists("/dev/loop-control") ? "there are no loop devices here"
            : !((string[])["/sbin", "/usr/sbin", "/usr/bin"]).Any(d => File.Exists(Path.Combine(d, program))) ? $"there is no {program} here"
            : !File.ReadAllText("/proc/filesystems").Contains(program[(program.IndexOf('.') + 1)..], StringComparison.Ordinal) ? $"this kernel does not have what {program} makes"
            : null;
    }

    public static int Run(string shell, string command)
    {
        using var process = Process.Start(new ProcessStartInfo(shell, ["-c", $"{command} >/dev/null 2>&1"]))!;
        process.WaitForExit();
        return process.ExitCode;
    }

    public void Dispose()
    {
        Run("/bin/sh", $"umount {Root} || umount -l {Root}");
        File.Delete(_image);
    }
}

/// <summary>A test on file systems with shared extents; skipped, with the reason, where none can be made.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SharedExtentsTheoryAttribute : TheoryAttribute
{
    public SharedExtentsTheoryAttribute() => Skip = TestDisk.WhyNot("mkfs.xfs") ?? TestDisk.WhyNot("mkfs.btrfs");
}
