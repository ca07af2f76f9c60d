using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Protection;

/// <summary>The clocks of this host.</summary>
internal sealed class SystemClock : IProtectionClock
{
    public DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    public string Boot => Host.BootId();

    /// <summary>/proc/uptime counts CLOCK_BOOTTIME (fs/proc/uptime.c).</summary>
    public TimeSpan SinceBoot => TimeSpan.FromSeconds(double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture));
}
