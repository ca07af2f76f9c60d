using System.IO.MemoryMappedFiles;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What is asked only once of all processes is what each of them would have said.</summary>
public sealed class StandingFactsTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("holdfast-test-").FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public void Every_area_has_the_backing_that_it_has_by_itself()
    {
        StandingFacts standing = new(PidReference.Of(Environment.ProcessId), 1);
        List<MemoryMap> maps = [.. MemoryMap.Read(Environment.ProcessId).Where(map => map.Name.StartsWith('/') && !map.Name.EndsWith(" (deleted)", StringComparison.Ordinal))];
        Assert.True(maps.Count > 10);
        foreach (MemoryMap map in maps.Concat(maps))
        {
            Assert.Equal(MappedFiles.Identify(Environment.ProcessId, map), standing.Backing(Environment.ProcessId, null, map));
        }
    }

    [Fact]
    public void A_file_is_looked_at_once_until_somebody_goes_on_and_by_each_name_and_mount_namespace()
    {
        string path = Path.Combine(root, "file");
        File.WriteAllBytes(path, new byte[4096]);
        using MemoryMappedFile file = MemoryMappedFile.CreateFromFile(path, FileMode.Open);
        using MemoryMappedViewAccessor view = file.CreateViewAccessor();
        MemoryMap map = MemoryMap.Read(Environment.ProcessId).Single(map => map.Name == path);
        StandingFacts standing = new(PidReference.Of(Environment.ProcessId), 1);
        Assert.Equal(4096, standing.Backing(Environment.ProcessId, null, map)!.Size);
        using (FileStream longer = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            longer.SetLength(8192);
        }

        // Others than root find it by other ways, each time.
        Assert.Equal(MappedFiles.MayBeFollowed() ? 4096 : 8192, standing.Backing(Environment.ProcessId, null, map)!.Size);
        Assert.Equal(8192, standing.Backing(Environment.ProcessId, "mnt:[1]", map)!.Size);
        Assert.Equal(8192, standing.Backing(Environment.ProcessId, null, map with { Name = path + "2" })!.Size);
        Assert.Equal(8192, new StandingFacts(PidReference.Of(Environment.ProcessId), 1).Backing(Environment.ProcessId, null, map)!.Size);
    }

    [Fact]
    public void Namespaces_are_those_of_the_process_they_were_asked_of()
    {
        StandingFacts standing = new(PidReference.Of(Environment.ProcessId), 1);
        foreach (string kind in NamespaceLinks.Kinds.Concat(NamespaceLinks.Kinds))
        {
            Assert.Equal(ProcFs.TryLink($"/proc/self/ns/{kind}"), standing.Namespace(kind));
        }
    }

    [Fact]
    public void Numbers_of_a_directory_are_all_of_them_however_many_there_are()
    {
        Directory.CreateDirectory(Path.Combine(root, "numbers"));
        List<int> expected = [.. Enumerable.Range(0, 2000).Select(i => i * 7)];
        expected.ForEach(number => Directory.CreateDirectory(Path.Combine(root, "numbers", number.ToString(System.Globalization.CultureInfo.InvariantCulture))));
        foreach (string other in (string[])["-5", "+6", "7x", "x7", "99999999999", " 8"])
        {
            File.WriteAllText(Path.Combine(root, "numbers", other), "");
        }

        Assert.Equal(expected, ProcFs.Numbers(Path.Combine(root, "numbers")));
        Assert.Empty(ProcFs.Numbers(Path.Combine(root, "none")));
        Assert.Empty(ProcFs.Numbers(Path.Combine(root, "numbers", "7x")));
    }
}
