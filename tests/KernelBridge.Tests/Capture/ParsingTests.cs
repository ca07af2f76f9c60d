using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Capture;

public sealed class ParsingTests
{
    [Fact]
    public void Lines_of_smaps_become_areas_with_their_flags()
    {
        List<MemoryMap> maps = MemoryMap.Parse(
            """
            7f00aa000000-7f00aa021000 rw-p 00001000 fe:10 131 /tmp/a file (deleted)
            Size:                132 kB
            ProtectionKey:         3
            VmFlags: rd wr mr mw me ac lf
            7ffc00000000-7ffc00022000 r-xs 00000000 00:00 0
            VmFlags: rd ex sh sd
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]

            """u8);
        Assert.Equal(3, maps.Count);
        Assert.Equal(
            new MemoryMap(0x7f00aa000000, 0x7f00aa021000, 3, false, 0x1000, 0xfeul << 32 | 0x10, 131, "/tmp/a file (deleted)", " rd wr mr mw me ac lf ") { ProtectionKey = 3 }, maps[0]);
        Assert.Equal((5, true, string.Empty), (maps[1].Protection, maps[1].Shared, maps[1].Name));
        Assert.Equal("[vsyscall]", maps[2].Name);
        Assert.Equal(0, maps[2].ProtectionKey);
        Assert.True(maps[0].HasFlag("lf "));
        Assert.False(maps[1].HasFlag("lf "));
    }

    [Fact]
    public void What_this_process_maps_and_opens_is_read_back()
    {
        int pid = Environment.ProcessId;
        Assert.Contains(MemoryMap.ReadWithFlags(pid), map => map is { Name: "[stack]" } && map.HasFlag("gd "));
        string path = Path.GetTempFileName();
        int fd = Libc.open(path, Libc.O_RDWR | Libc.O_APPEND | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
        try
        {
            Assert.Equal(0, Libc.lseek(fd, 0, 0));
            Resources.DescriptorTestsSupport.AssertFacts(pid, fd, path, Libc.O_RDWR | Libc.O_APPEND | Libc.O_NONBLOCK, closeOnExec: true, deleted: false);
            File.Delete(path);
            Resources.DescriptorTestsSupport.AssertFacts(pid, fd, path, Libc.O_RDWR | Libc.O_APPEND | Libc.O_NONBLOCK, closeOnExec: true, deleted: true);
        }
        finally
        {
            Libc.close(fd);
            File.Delete(path);
        }
    }
}
