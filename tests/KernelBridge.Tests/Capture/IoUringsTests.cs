using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Images of rings that cannot be; what they are captured from is in machines with the module (tests/Kmod.Tests).</summary>
public sealed class IoUringsTests
{
    private static readonly UringLayout layout = new(0, 64, 256, 264, 276, 272, 576, 128, 192, 260, 268, 284, 280, 320);

    private static UringImage Image { get; } = new()
    {
        Flags = 2, Setup = 1 << 7, Requests = 8, Completions = 16, Taken = 5, Given = 4_000_000_000, Layout = layout, Inode = 1, Rings = new byte[576 + (8 * 4)], Entries = new byte[8 * 64],
    };

    [Fact]
    public void A_ring_as_a_kernel_makes_it_is_valid()
    {
        Assert.True(IoUrings.IsValid(Image));
        Assert.True(IoUrings.IsValid(Image with { Setup = 1 << 10 | 1 << 11, Rings = new byte[320 + (16 * 32)], Entries = new byte[8 * 128], Layout = layout with { SqArray = 320 } }));
        Assert.True(IoUrings.IsValid(Image with { Setup = 1 << 16, Rings = new byte[320 + (16 * 16)], Layout = layout with { SqArray = null } }));
    }

    public static TheoryData<string> Impossible => [.. Changes.Keys];

    private static Dictionary<string, Func<UringImage, UringImage>> Changes { get; } = new()
    {
        ["no layout"] = image => image with { Layout = null! },
        ["a polling thread"] = image => image with { Setup = 1 << 1 },
        ["memory of its own"] = image => image with { Setup = 1 << 14 },
        ["an unknown flag"] = image => image with { Setup = 1u << 31 },
        ["no requests"] = image => image with { Requests = 0, Entries = [] },
        ["no power of 2"] = image => image with { Requests = 6, Entries = new byte[6 * 64], Rings = new byte[576 + (6 * 4)] },
        ["too many"] = image => image with { Requests = 1 << 20, Entries = new byte[64 << 20] },
        ["fewer completions than requests"] = image => image with { Completions = 4 },
        ["less memory"] = image => image with { Rings = new byte[100] },
        ["no memory"] = image => image with { Rings = null! },
        ["fewer entries"] = image => image with { Entries = new byte[64] },
        ["flags beyond its memory"] = image => image with { Layout = layout with { SqFlags = 576 + (8 * 4) - 3 } },
        ["completions far away"] = image => image with { Layout = layout with { Cqes = uint.MaxValue - 100 } },
        ["an array where none is"] = image => image with { Setup = 1 << 16 },
        ["no array"] = image => image with { Layout = layout with { SqArray = null } },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void One_that_no_kernel_makes_is_not(string change) => Assert.False(IoUrings.IsValid(Changes[change](Image)));
}
