using System.Diagnostics;
using System.Text;

namespace Holdfast.KernelBridge.Tests.Spaces;

/// <summary>A second process that runs one of the helpers of <see cref="Program"/>; killed with SIGKILL at the end.</summary>
public sealed class HelperProcess : IDisposable
{
    private readonly Process process;
    private readonly StringBuilder errors = new();

    public HelperProcess(string helper, params string[] arguments)
    {
        var start = new ProcessStartInfo(Command(helper)[0], [.. Command(helper)[1..], .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) => errors.AppendLine(line.Data);
        process.BeginErrorReadLine();
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
        if (line is null)
        {
            process.WaitForExit(SpaceFixture.Patience);
            Assert.Fail($"the helper ended: {errors}");
        }

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

    /// <summary>Runs a helper that traces, to its end.</summary>
    /// <param name="moment">It is killed at this one of its ptrace calls; null: it is not.</param>
    /// <param name="words">The helper and its arguments.</param>
    /// <returns>Its exit status.</returns>
    public static int RunTracer(int? moment, params string[] words)
    {
        string[] helper = [.. Command(words[0]), .. words[1..]];
        string[] command = moment is { } number
            ? ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=ptrace", "-e", $"inject=ptrace:signal=KILL:when={number}", .. helper]
            : helper;
        using Process process = Process.Start(new ProcessStartInfo(command[0], command[1..]))!;
        Assert.True(process.WaitForExit(SpaceFixture.Patience));
        return process.ExitCode;
    }
}
