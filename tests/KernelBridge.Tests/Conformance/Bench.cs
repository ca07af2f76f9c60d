using System.Diagnostics;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Spaces;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>A work directory, and the applications that a test runs in it; all are killed and removed at its end.</summary>
public sealed class Bench(IKernelBridge bridge) : IDisposable
{
    private readonly List<IRunningApplication> applications = [];
    private readonly List<ApplicationTarget> targets = [];
    // Not by File.OpenHandle, which takes a lock that the application would inherit.
    private readonly SafeFileHandle nowhere = new(Libc.open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0), ownsHandle: true);
    private int count;

    public IKernelBridge Bridge => bridge;

    public string Root { get; } = Directory.CreateTempSubdirectory("holdfast-bridge-").FullName;

    public IReadOnlyList<int> Streams => [.. Enumerable.Repeat((int)nowhere.DangerousGetHandle(), 3)];

    public string PathOf(string name) => Path.Combine(Root, name);

    public string NewStateDirectory() => Directory.CreateDirectory(PathOf($"state{Interlocked.Increment(ref count)}")).FullName;

    public IRunningApplication Launch(params string[] command) => Launch(request => request, command);

    public IRunningApplication Launch(IReadOnlySet<string>? isolate, params string[] command) =>
        Launch(request => isolate is null ? request : request with { Isolate = isolate }, command);

    public IRunningApplication Launch(Func<LaunchRequest, LaunchRequest> change, params string[] command)
    {
        LaunchRequest request = change(new LaunchRequest
        {
            Name = "conformance", Command = command, Environment = [$"PATH={Environment.GetEnvironmentVariable("PATH")}", $"OUT={Root}", "PYTHONUNBUFFERED=1"],
            WorkingDirectory = Root, StateDirectory = NewStateDirectory(), Detach = true, StandardStreams = Streams,
        });
        IRunningApplication application = bridge.Launch(request);
        application.Keep();
        return Kept(application);
    }

    public IRunningApplication Shell(string script) => Launch("bash", "-c", script);

    public IRunningApplication Python(string script) => Launch(Write("program.py", script, "python3"));

    /// <summary>Compiles a C program; null where there is no compiler.</summary>
    public string? Compile(string source, string name = "program", params string[] flags)
    {
        if (Tools.Find("gcc") is not { } compiler)
        {
            return null;
        }

        File.WriteAllText(PathOf(name + ".c"), source);
        using Process process = Process.Start(new ProcessStartInfo(compiler, ["-O1", "-o", PathOf(name), PathOf(name + ".c"), "-pthread", .. flags]) { RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, errors);
        return PathOf(name);
    }

    public Taken Checkpoint(IRunningApplication application, bool kill = false, Action? standing = null) => Driver.Checkpoint(bridge, application.Target, kill, standing);

    public IRunningApplication Restore(Taken taken, ChangedFiles files = ChangedFiles.AsIs) =>
        Kept(Driver.Restore(bridge, taken, NewStateDirectory(), Streams, files));

    /// <summary>Checkpoint, SIGKILL, restore.</summary>
    public IRunningApplication Reincarnate(IRunningApplication application)
    {
        Taken taken = Checkpoint(application);
        application.Kill();
        return Restore(taken);
    }

    /// <summary>The codes with which a checkpoint is refused; and that the application goes on afterwards.</summary>
    public IReadOnlyList<string> RefusalsOf(IRunningApplication application)
    {
        BridgeException refused = Assert.Throws<BridgeException>(() => Checkpoint(application));
        // (A shell blocks SIGCHLD for moments by itself.)
        Health.AssertRuns(application.MainPid, mayBlock: 1ul << 16);

        // What, why and what to do about it.
        Assert.All(refused.Refusals, refusal => Assert.True(refusal.What.Length > 2 && refusal.Why.Length > 5 && refusal.Remedy.Length > 5, refusal.ToString()));

        // A check and a checkpoint say the same.
        string[] codes = [.. refused.Refusals.Select(refusal => refusal.Code).Distinct().Order()];
        Assert.Equal(codes, bridge.CheckApplication(application.Target).Where(row => row.Verdict == CheckVerdict.No).Select(row => row.Code).Distinct().Order());
        return codes;
    }

    public void Expect(string name) => SpaceFixture.Until(() => File.Exists(PathOf(name)), name);

    public string[] Lines(string name)
    {
        string text = File.Exists(PathOf(name)) ? File.ReadAllText(PathOf(name)) : string.Empty;
        return text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public void ExpectLines(string name, int more)
    {
        int before = Lines(name).Length;
        SpaceFixture.Until(() => Lines(name).Length >= before + more, $"{more} more lines in {name}");
    }

    /// <summary>Waits until a file of the application has so many lines, those from before counted.</summary>
    public void ExpectTotal(string name, int lines) => SpaceFixture.Until(() => Lines(name).Length >= lines, $"line {lines} of {name}");

    public static int Finish(IRunningApplication application) => application.Exited.WaitAsync(SpaceFixture.Patience).GetAwaiter().GetResult();

    public IRunningApplication Kept(IRunningApplication application)
    {
        applications.Add(application);
        targets.Add(application.Target);
        return application;
    }

    public void Kept(ApplicationTarget target) => targets.Add(target);

    /// <summary>Lets go of an application that has ended.</summary>
    public void Forget(IRunningApplication application)
    {
        applications.Remove(application);
        targets.Remove(application.Target);
        application.Dispose();
    }

    public void Dispose()
    {
        foreach (IRunningApplication application in applications)
        {
            application.Dispose();
        }

        foreach (ApplicationTarget target in targets)
        {
            using IRunningApplication? alive = bridge.Find(target);
            alive?.Kill();
        }

        nowhere.Dispose();
        Directory.Delete(Root, recursive: true);
    }

    private string[] Write(string name, string script, string interpreter)
    {
        File.WriteAllText(PathOf(name), script);
        return [interpreter, PathOf(name)];
    }
}
