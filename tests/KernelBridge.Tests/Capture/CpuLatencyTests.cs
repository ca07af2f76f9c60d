using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Capture;

public sealed class CpuLatencyTests
{
    private const string Device = "/dev/cpu_dma_latency";

    [Fact]
    public void The_kernel_knows_of_it_until_it_is_let_go()
    {
        if (CpuLatency.Hold() is not { } held)
        {
            Assert.False(Environment.UserName == "root" && File.Exists(Device));
            return;
        }

        using (held)
        {
            Assert.Equal(1, Held());
            Assert.Equal(0, Lowest());
        }

        Assert.Equal(0, Held());
        held.Dispose();
    }

    private static int Held() => Directory.EnumerateFiles("/proc/self/fd").Count(f => new FileInfo(f).LinkTarget == Device);

    /// <summary>What all who ask for it have now, in microseconds.</summary>
    private static int Lowest()
    {
        using FileStream device = new(Device, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        Span<byte> number = stackalloc byte[sizeof(int)];
        device.ReadExactly(number);
        return BitConverter.ToInt32(number);
    }
}
