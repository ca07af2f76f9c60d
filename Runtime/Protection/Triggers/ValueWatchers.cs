using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Protection.Triggers;

/// <summary>The share of all processors that the application uses, in percent: <c>cpu.stat</c> of its control group, else utime and stime of its processes.</summary>
internal sealed class CpuWatcher(Func<ApplicationRecord?> record) : RateWatcher(record)
{
    // USER_HZ: what procfs counts in, whatever the kernel's own tick is.
    private const double TicksPerSecond = 100;

    protected override double Counter() => Field(Cgroup("cpu.stat"), "usage_usec") is { } microseconds
        ? microseconds / 1e6
        : Host.ProcessorTicks(Record.Target.RootPid) / TicksPerSecond;

    protected override double Value(double perSecond) => perSecond * 100 / Environment.ProcessorCount;
}

/// <summary>
/// By how many bytes the memory of the application has grown or shrunk since the last point: anonymous and shared memory from <c>memory.stat</c> of its
/// control group, else RssAnon and RssShmem of its processes. What is overwritten in place is not seen: kernels without soft-dirty bits do not tell.
/// </summary>
internal sealed class MemoryWatcher(Func<ApplicationRecord?> record) : ApplicationWatcher(record)
{
    private long? _atPoint;
    private volatile bool _pointTaken;

    public override void PointTaken() => _pointTaken = true;

    protected override TriggerObservation Observe()
    {
        long now = Bytes();
        if (_pointTaken || _atPoint is null)
        {
            _pointTaken = false;
            _atPoint = now;
        }

        return TriggerObservation.Of(Math.Abs(now - _atPoint.Value));
    }

    private long Bytes()
    {
        string? statistics = Cgroup("memory.stat");
        return Field(statistics, "anon") is { } anonymous
            ? anonymous + (Field(statistics, "shmem") ?? 0)
            : Host.ResidentBytes(Record.Target.RootPid);
    }
}

/// <summary>Bytes per second, sent and received, over all devices but loopback of the network namespace in which the application runs.</summary>
internal sealed class NetworkWatcher(Func<ApplicationRecord?> record) : RateWatcher(record)
{
    protected override double Counter()
    {
        double bytes = 0;
        // proc_pid_net(5): two lines of headings, then "name: rx-bytes 7 others tx-bytes ...".
        foreach (string line in File.ReadAllLines($"/proc/{Record.MainPid}/net/dev").Skip(2))
        {
            string[] sides = line.Split(':', 2);
            string[] fields = sides[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (sides[0].Trim() != "lo")
            {
                bytes += double.Parse(fields[0], CultureInfo.InvariantCulture) + double.Parse(fields[8], CultureInfo.InvariantCulture);
            }
        }

        return bytes;
    }
}

/// <summary>How full the file system is in which the application was run, in percent.</summary>
internal sealed class StorageWatcher(Func<ApplicationRecord?> record) : ApplicationWatcher(record)
{
    protected override TriggerObservation Observe()
    {
        DriveInfo drive = new(Record.WorkingDirectory ?? throw new InvalidOperationException("it is not known in which directory the application was run"));
        return TriggerObservation.Of(drive.TotalSize == 0 ? 0 : 100.0 * (drive.TotalSize - drive.TotalFreeSpace) / drive.TotalSize);
    }
}

/// <summary>
/// The share of the last ten seconds, in percent, in which some thread of the application waited for a resource: <c>cpu.pressure</c>,
/// <c>memory.pressure</c> or <c>io.pressure</c> of its control group (Documentation/accounting/psi.rst).
/// </summary>
internal sealed class PressureWatcher(Func<ApplicationRecord?> record, string resource) : ApplicationWatcher(record)
{
    protected override TriggerObservation Observe()
    {
        string text = Cgroup($"{resource}.pressure")
            ?? throw new InvalidOperationException($"the kernel keeps no {resource}.pressure for it: it needs control groups of version 2 and CONFIG_PSI");
        string average = text.Split(['\n', ' ']).First(w => w.StartsWith("avg10=", StringComparison.Ordinal));
        return TriggerObservation.Of(double.Parse(average.AsSpan(6), CultureInfo.InvariantCulture));
    }
}
