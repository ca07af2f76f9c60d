using System.Text.Json;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

/// <summary>A temporary directory, and the spaces that a test starts in it: all are killed and removed at its end.</summary>
public sealed class SpaceFixture : IDisposable
{
    private readonly List<IDisposable> started = [];
    private int count;

    public string Root { get; } = Directory.CreateTempSubdirectory("holdfast-space-").FullName;

    /// <summary>How long something may take; longer where everything is slow (HOLDFAST_PATIENCE, seconds).</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_PATIENCE"), out int seconds) ? seconds : 30);

    public string NewStateDirectory() => Directory.CreateDirectory(Path.Combine(Root, $"state{Interlocked.Increment(ref count)}")).FullName;

    public string PathOf(string name) => Path.Combine(Root, name);

    internal SpaceRequest Request(params string[] command) => new()
    {
        Mode = SpaceMode.Run,
        Name = "test-app",
        StateDirectory = NewStateDirectory(),
        Command = command,
        Environment = [$"PATH={Environment.GetEnvironmentVariable("PATH")}", $"OUT={Root}"],
        WorkingDirectory = Root,
    };

    internal SpaceRequest Shell(string script) => Request("sh", "-c", script);

    internal SpaceHandle Start(SpaceRequest request)
    {
        SpaceHandle handle = Space.Start(request);
        lock (started)
        {
            started.Add(handle);
        }

        return handle;
    }

    internal RunningApplication Run(SpaceRequest request)
    {
        using SpaceHandle handle = Space.Start(request);
        var application = (RunningApplication)handle.HandOver();
        application.Keep();
        lock (started)
        {
            started.Add(new Killed(application));
        }

        return application;
    }

    internal RunningApplication Run(string script) => Run(Shell(script));

    /// <summary>An application that another process launched: killed at the end too, if it still runs.</summary>
    internal ApplicationTarget Launched(string json)
    {
        ApplicationTarget target = JsonSerializer.Deserialize<ApplicationTarget>(json)!;
        started.Add(new Found(target));
        return target;
    }

    /// <summary>Runs a script to its end.</summary>
    internal int Finish(string script) => Finish(Run(script));

    internal static int Finish(IRunningApplication application) => application.Exited.WaitAsync(Patience).GetAwaiter().GetResult();

    /// <summary>Waits for something that another process does; fails when it does not come.</summary>
    public static void Until(Func<bool> condition, string what)
    {
        long end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (!condition())
        {
            Assert.True(Environment.TickCount64 < end, $"never came: {what}");
            Thread.Sleep(2);
        }
    }

    public void Dispose()
    {
        foreach (IDisposable one in started)
        {
            one.Dispose();
        }

        Directory.Delete(Root, recursive: true);
    }

    private sealed class Found(ApplicationTarget target) : IDisposable
    {
        public void Dispose()
        {
            using RunningApplication? application = ApplicationFinder.Find(target);
            application?.Kill();
        }
    }

    private sealed class Killed(RunningApplication application) : IDisposable
    {
        public void Dispose()
        {
            application.Kill();
            application.Dispose();
        }
    }
}
