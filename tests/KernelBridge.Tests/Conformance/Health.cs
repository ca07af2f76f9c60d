using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Whether processes run as if nothing had happened.</summary>
internal static class Health
{
    /// <summary>Every thread of a process is neither stopped nor traced, and blocks only what is allowed.</summary>
    public static void AssertRuns(int pid, ulong mayBlock = 0)
    {
        // Workers of a ring are the kernel's own.
        foreach (int tid in ProcFs.Threads(pid).Where(tid => ProcessStat.TryReadThread(pid, tid)?.IsKernelWorker == false))
        {
            string Read() => ProcFs.TryText($"/proc/{pid}/task/{tid}/status") ?? string.Empty;
            string Field(string name) => Read().Split('\n').FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?[name.Length..].Trim() ?? string.Empty;
            SpaceFixture.Until(() => Field("TracerPid:") is "0" or "", $"thread {tid} is not traced");
            SpaceFixture.Until(() => Field("State:") is "" or [not ('T' or 't'), ..], $"thread {tid} is not stopped");

            // Programs block signals for moments by themselves; what a stop left blocked stays so.
            SpaceFixture.Until(() => Field("SigBlk:") is var text && (text.Length == 0 || (Mask(text) & ~mayBlock) == 0), $"thread {tid} blocks no signals");
        }
    }

    private static ulong Mask(string text) => ulong.Parse(text, System.Globalization.NumberStyles.HexNumber, System.Globalization.CultureInfo.InvariantCulture);
}
