using System.Text;
using System.Text.Json.Nodes;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Resources;

public sealed class HugePagesTests : IDisposable
{
    // More than any host has: so many bytes that are mapped without being set aside.
    private const long Length = 1L << 42;

    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void A_restore_that_needs_more_pages_than_are_free_is_refused_before_anything_is_built()
    {
        Taken taken = Take();
        using (IRestore good = Begin(taken.Image))
        {
            Assert.Empty(good.Check());
        }

        using IRestore restore = Begin(Changed(taken, area => Remove(area, "nr")));
        Refusal only = Assert.Single(restore.Check());
        Assert.Equal((HugePages.Code, "huge pages of 2 MiB"), (only.Code, only.What));
        Assert.StartsWith($"{Length >> 21} are needed", only.Why, StringComparison.Ordinal);
        Assert.Contains("sysctl vm.nr_hugepages=", only.Remedy, StringComparison.Ordinal);
    }

    public static TheoryData<string, Action<JsonObject>> Impossible => new()
    {
        { "a size that is no power of two", area => area["PageSize"] = 3 << 20 },
        { "one that is too small", area => area["PageSize"] = 4096 },
        { "one that is larger than the area is aligned to", area => (area["Start"], area["PageSize"]) = ((ulong)area["Start"]! + (2 << 20), 1 << 30) },
        { "none where they are huge", area => area["PageSize"] = 0 },
        { "huge ones where they are not", area => Remove(area, "ht") },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void An_image_with_pages_of_an_impossible_size_is_refused(string what, Action<JsonObject> change)
    {
        Taken taken = Take();
        BridgeException refused = Assert.Throws<BridgeException>(() => Begin(Changed(taken, change)).Check());
        Assert.True(refused.Code == "image.invalid", $"{what}: {refused}");
    }

    public void Dispose() => bench.Dispose();

    private static void Remove(JsonObject area, string flag)
    {
        JsonArray flags = area["Flags"]!.AsArray();
        flags.Remove(flags.First(entry => (string)entry! == flag));
    }

    private Taken Take()
    {
        IRunningApplication application = bench.Python(
            $"""
            import ctypes, os, time
            libc = ctypes.CDLL(None)
            libc.mmap.restype = ctypes.c_long
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            where = libc.mmap(0, {Length}, 3, 0x44022, -1, 0)
            open(os.environ['OUT'] + ('/ready' if where != -1 else '/failed'), 'w').close()
            time.sleep(1000)
            """);
        bench.Expect("ready");
        return bench.Checkpoint(application, kill: true);
    }

    private static byte[] Changed(Taken taken, Action<JsonObject> change)
    {
        JsonNode root = JsonNode.Parse(taken.Image)!;
        change(root["Processes"]![0]!["Memory"]!["Areas"]!.AsArray().Select(area => area!.AsObject()).Single(area => (long)area["PageSize"]! > 0));
        return Encoding.UTF8.GetBytes(root.ToJsonString());
    }

    private IRestore Begin(byte[] image) => bench.Bridge.BeginRestore(new RestoreRequest
    {
        Name = "huge", Image = image, Pages = new MemoryPages(), StateDirectory = bench.Root, StandardStreams = bench.Streams,
    });
}
