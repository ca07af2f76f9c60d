using System.Diagnostics;

namespace Holdfast.KernelBridge.Tests.Spaces;

/// <summary>A second process that runs one of the helpers of <see cref="Program"/>; killed with SIGKILL at the end.</summary>
public sealed class HelperProcess : IDisposable
{
    private readonly Process process;

    public HelperProcess(string helper, params string[] arguments)
    {
        var start = new ProcessStartInfo(Command(helper)[0], [.. Command(helper)[1..], .. arguments]) { RedirectStandardOutput = true };
        process = Process.Start(start)!;
    }

    public int Pid => process.Id;

    /// <summary>What to execute to run a helper.</summary>
    public static string[] Command(string helper)
    {
        string host = Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet";
        return [host, "exec", typeof(HelperProcess).Assembly.Location, helper];
    }

    /// <summary>Its next line; fails when it ends instead.</summary>
    public string ReadLine()
    {
        string? line = process.StandardOutput.ReadLineAsync().WaitAsync(SpaceFixture.Patience).GetAwaiter().GetResult();
        Assert.NotNull(line);
        return line;
    }

    public void Kill()
    {
        process.Kill();
        Assert.True(process.WaitForExit(SpaceFixture.Patience));
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}
