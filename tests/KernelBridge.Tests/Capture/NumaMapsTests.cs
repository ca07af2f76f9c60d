using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Capture;

public sealed class NumaMapsTests
{
    [Theory]
    [InlineData("bind:0", 2, new byte[] { 1 })]
    [InlineData("prefer:3", 1, new byte[] { 8 })]
    [InlineData("interleave=static:0-2,9", 0x8003, new byte[] { 7, 2 })]
    [InlineData("bind=relative|balancing:0", 0x6002, new byte[] { 1 })]
    [InlineData("local", 4, new byte[0])]
    [InlineData("prefer (many):1", 5, new byte[] { 2 })]
    [InlineData("weighted interleave:0-1", 6, new byte[] { 3 })]
    public void A_policy_is_read_as_mbind_takes_it(string text, int mode, byte[] nodes)
    {
        (int Mode, byte[] Nodes)? policy = NumaMaps.Parse(text);
        Assert.Equal(mode, policy?.Mode);
        Assert.Equal(nodes, policy?.Nodes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("default")]
    [InlineData("fair:0")]
    [InlineData("bind=odd:0")]
    [InlineData("bind:0-99999999")]
    [InlineData("bind:x")]
    [InlineData("bind:0:1")]
    public void What_is_no_known_policy_is_none(string text) => Assert.Null(NumaMaps.Parse(text));
}
