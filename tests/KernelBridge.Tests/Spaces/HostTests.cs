using System.Diagnostics;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class HostTests
{
    [Fact]
    public void The_v2_hierarchy_is_found_where_it_is_mounted()
    {
        string[] mountinfo =
        [
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
            "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu",
            "41 31 0:31 / /sys/fs/cgroup/unified rw,relatime shared:5 master:1 - cgroup2 cgroup2 rw",
            "42 31 0:31 / /a\\040place rw - cgroup2 none rw",
            "43 31 0:32 / /cgroup2 rw - ext4 /dev/cgroup2 rw",
        ];

        Assert.Equal(["/sys/fs/cgroup/unified", "/a place"], CgroupTree.FindMounts(mountinfo));
    }

    [Fact]
    public void Groups_are_named_after_the_application_whatever_its_name()
    {
        CgroupTree tree = CgroupTree.Create("../ÄB c/" + new string('x', 300))!;
        try
        {
            Assert.StartsWith("____B_c_xxx", Path.GetFileName(tree.Directory).Replace("Ä", "_"));
            Assert.Equal("holdfast", Path.GetFileName(Path.GetDirectoryName(tree.Directory)));
            Assert.True(Directory.Exists(tree.App) && Directory.Exists(tree.Init));
            Assert.Equal(tree, CgroupTree.Of(tree.App));
        }
        finally
        {
            Assert.True(tree.Remove());
        }

        Assert.False(Directory.Exists(tree.Directory));
        Assert.True(tree.Remove());
    }

    [Fact]
    public void Old_groups_with_nothing_in_them_are_removed_and_others_are_not()
    {
        string mount = CgroupTree.FindMounts(File.ReadLines("/proc/self/mountinfo")).First();
        string parent = Path.Combine(mount, $"holdfast-test-{Guid.NewGuid():N}");
        string empty = Path.Combine(parent, "empty.1"), used = Path.Combine(parent, "used.2");
        using Process process = Process.Start("sleep", ["1000"]);
        try
        {
            foreach (string directory in new[] { empty, used })
            {
                Directory.CreateDirectory(Path.Combine(directory, "init"));
                Directory.CreateDirectory(Path.Combine(directory, "app"));
            }

            File.WriteAllText(Path.Combine(used, "init", "cgroup.procs"), $"{process.Id}");

            CgroupTree.RemoveLeftovers(parent, DateTime.UtcNow.AddMinutes(-1));
            Assert.True(Directory.Exists(Path.Combine(empty, "app")));

            CgroupTree.RemoveLeftovers(parent, DateTime.UtcNow.AddMinutes(1));
            Assert.False(Directory.Exists(empty));
            Assert.True(Directory.Exists(Path.Combine(used, "app")));
        }
        finally
        {
            process.Kill();
            process.WaitForExit();
            CgroupTree.RemoveLeftovers(parent, DateTime.MaxValue);
            Directory.Delete(parent);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("/sys/fs/cgroup")]
    [InlineData("/sys/fs/cgroup/system.slice/app")]
    [InlineData("/sys/fs/cgroup/holdfast/x/init")]
    public void Groups_that_are_not_ours_are_never_removed(string? path) => Assert.Null(CgroupTree.Of(path));

    [Fact]
    public void Missing_rights_are_named_with_a_remedy()
    {
        SpaceRequest request = new()
        {
            Mode = SpaceMode.Build,
            Name = "x",
            StateDirectory = "/tmp",
            Isolate = new HashSet<string> { "net", "time" },
            BootTimeOffset = new ClockOffset(1, 0),
        };

        BridgeException refused = Assert.Throws<BridgeException>(() => Capabilities.Require("a space", Capabilities.For(request), effective: 1UL << 25));

        Assert.Equal("rights.missing", refused.Code);
        Assert.Contains("CAP_SYS_ADMIN, CAP_NET_ADMIN", refused.Message);
        Assert.DoesNotContain("CAP_SYS_TIME", refused.Message);
        Assert.Contains("root", refused.Message);
    }

    [Fact]
    public void Without_the_right_a_launch_is_refused_by_code()
    {
        (int status, string output) = Run(["setpriv", "--bounding-set=-sys_admin", .. HelperProcess.Command("run")]);

        Assert.Equal("rights.missing\n", output);
        Assert.Equal(125, status);
    }

    [Fact]
    public void A_user_namespace_of_its_own_is_right_enough()
    {
        (int status, string output) = Run(["unshare", "--user", "--map-root-user", .. HelperProcess.Command("run")]);

        Assert.Equal("2\n", output);
        Assert.Equal(6, status);
    }

    private static (int Status, string Output) Run(string[] command)
    {
        DirectoryInfo state = Directory.CreateTempSubdirectory("holdfast-state-");
        try
        {
            var start = new ProcessStartInfo(command[0], [.. command[1..], state.FullName, "sh", "-c", "echo $$; exit 6"]) { RedirectStandardOutput = true };
            using Process process = Process.Start(start)!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        finally
        {
            state.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("3\n", 3)]
    [InlineData("255\n", 255)]
    [InlineData("3", null)]
    [InlineData("", null)]
    [InlineData("256\n", null)]
    [InlineData("-1\n", null)]
    public void An_exit_file_counts_only_when_it_is_complete(string text, int? status)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, text);
            Assert.Equal(status, ExitFile.Read(path));
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Null(ExitFile.Read(path));
    }

    [Theory]
    [InlineData("a/b", "PATH=/bin", "a/b")]
    [InlineData("sh", "PATH=/nowhere:/bin", "/bin/sh")]
    [InlineData("sh", "HOME=/", "/bin/sh")]
    [InlineData("sh", "PATH=", "/bin/sh")]
    public void Programs_are_looked_up_as_execvp_does(string program, string variable, string expected) =>
        Assert.Equal(expected, CommandPath.Resolve(program, [variable], "/bin"));
}
