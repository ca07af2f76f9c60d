using System.Diagnostics;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A Python program of no space, which watches itself while tracers die on it: it makes the file <c>ready</c>, and once <c>go</c> is there, <c>result</c>.</summary>
internal sealed class WatchedProgram : IDisposable
{
    private readonly Bench bench;
    private readonly Process process;

    private WatchedProgram(Bench bench, Process process)
    {
        this.bench = bench;
        this.process = process;
    }

    public int Pid => process.Id;

    /// <summary>Starts it and waits until it is ready; null where strace, which kills the tracers, or Python is missing.</summary>
    public static WatchedProgram? TryStart(Bench bench, ITestOutputHelper output, string text)
    {
        if (Tools.Find("strace") is null || Tools.Find("python3") is null)
        {
            output.WriteLine("skipped: no strace or no python");
            return null;
        }

        File.WriteAllText(bench.PathOf("program.py"), text);
        WatchedProgram started = new(bench, Process.Start(new ProcessStartInfo("python3", [bench.PathOf("program.py"), bench.Root]))!);
        try
        {
            bench.Expect("ready");
            return started;
        }
        catch
        {
            started.Dispose();
            throw;
        }
    }

    /// <summary>What it says about itself in the end.</summary>
    public string Result()
    {
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.Expect("result");
        return File.ReadAllText(bench.PathOf("result"));
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}
