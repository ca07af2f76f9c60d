using System.Runtime.InteropServices;
using System.Text;
using Holdfast.KernelBridge.Linux;
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

    /// <summary>What procfs showed of the process has been read ahead, and the timer has expired since.</summary>
    [Fact]
    public void Expirations_are_counted_when_what_is_left_is_asked()
    {
        int timer = timerfd_create(clockid: 1, flags: 0);
        try
        {
            ProcSnapshot ahead = new();
            ahead.AddFile($"/proc/{Environment.ProcessId}/fdinfo/{timer}", Encoding.ASCII.GetBytes($"pos:\t0\nflags:\t02\nclockid: 1\nticks: 0\nsettime flags: 00\nit_value: (0, 1)\nit_interval: (1000, 0)\n"), 0);
            // Once after a nanosecond, then after 1000 seconds.
            long[] times = [1000, 0, 0, 1];
            Assert.Equal(0, timerfd_settime(timer, 0, times, 0));
            // One struct pollfd that asks for POLLIN.
            Assert.Equal(1, poll([timer, 1], 1, 60_000));

            DescriptorFacts facts = DescriptorFacts.ReadAll(Environment.ProcessId, Environment.ProcessId).Single(facts => facts.Number == timer);
            using IDisposable used = ahead.Use();
            TimerFdImage image = Assert.IsType<TimerFdImage>(new TimerFds().Capture(facts));

            Assert.Equal(1ul, image.Ticks);
        }
        finally
        {
            _ = Libc.close(timer);
        }
    }

    [DllImport("libc")]
    private static extern int timerfd_create(int clockid, int flags);

    [DllImport("libc")]
    private static extern int timerfd_settime(int descriptor, int flags, long[] times, nint before);

    [DllImport("libc")]
    private static extern int poll([In, Out] int[] polled, ulong count, int milliseconds);
}
