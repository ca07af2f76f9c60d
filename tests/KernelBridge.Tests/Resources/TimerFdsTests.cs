using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>What a timer that was due during an outage has counted, and when it expires next.</summary>
public sealed class TimerFdsTests
{
    [Theory]
    [InlineData(5_000_000_000, 0, 2, 3_000_000_000, 2_000_000_000, 2)]
    [InlineData(5_000_000_000, 0, 0, 6_000_000_000, 0, 1)]
    [InlineData(5_000_000_000, 1_000_000_000, 3, 5_000_000_000, 1_000_000_000, 4)]
    [InlineData(5_000_000_000, 1_000_000_000, 0, 7_300_000_000, 700_000_000, 3)]
    [InlineData(5_000_000_000, 7, 0, 5_000_000_000, 1_000_000, 1)]
    [InlineData(5_000_000_000, 0, 0, 4_999_999_999, 1_000_000, 0)]
    [InlineData(0, 9, 4, 1, 0, 4)]
    public void A_timer_goes_on_from_its_capture(long expires, long interval, int ticks, long now, long left, int expected)
    {
        TimerFdImage timer = new() { Flags = 2, Clock = 1, SettimeFlags = 0, Interval = interval, Expires = expires == 0 ? null : expires, Ticks = (ulong)ticks };
        Assert.Equal((left, (ulong)expected), timer.Due(now));
    }
}
