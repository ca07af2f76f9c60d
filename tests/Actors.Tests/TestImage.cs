using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>The smallest image there is.</summary>
internal static class TestImage
{
    public static ApplicationImage OneProcess { get; } = new()
    {
        Scope = ApplicationScope.Space,
        HostName = "app",
        Processes = [new ProcessImage { Pid = 2, ParentPid = 1, ProcessGroup = 2, Session = 2, Name = "app", CommandLine = "app" }],
    };
}
