namespace Holdfast.Kmod.Tests;

/// <summary>
/// The bridge over the device passes the conformance suite of all bridges, and does what only it can: with --long all of it on every kernel, which takes a quarter of an hour each where
/// there is no hardware to help the guests; otherwise two tests on one, in turn (HOLDFAST_TURN).
/// </summary>
[Collection(nameof(Guests))]
public sealed class BridgeTests
{
    public static TheoryData<string> EveryKernel => [.. Turns.Long ? Kernels.All : [Kernels.All[Turns.Turn % Kernels.All.Count]]];

    [KernelTheory]
    [MemberData(nameof(EveryKernel))]
    public void The_device_bridge_passes_the_conformance_suite(string kernel)
    {
        string[] names = AllNames();
        Passes(kernel, Turns.Long ? names : [.. Turns.Some(names, 2).Order(StringComparer.Ordinal)], seconds: 900, patience: 180);
    }

    [KernelFact(takes: "twenty minutes", kernel: "debug")]
    public void The_device_bridge_passes_it_in_a_kernel_that_checks_itself() => Passes("debug", AllNames(), seconds: 7000, patience: 400);

    private static string Suite => typeof(BridgeTests).Assembly.Location.Replace("Kmod.Tests", "KernelBridge.Tests");

    private static string[] AllNames()
    {
        string[] names = Shell.Run("dotnet", Suite, "device-conformance", "--list").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.NotEmpty(names);
        return names;
    }

    private static void Passes(string kernel, string[] names, int seconds, int patience)
    {
        CommandResult run = Shell.Run(
            Path.Combine(Shell.Harness, "run"), "--kernel", kernel, "--memory", "2500", "--timeout", $"{seconds}", "sh", "-c",
            $"HOLDFAST_PATIENCE={patience} exec dotnet {Suite} device-conformance {string.Join(' ', names)}");

        Assert.Equal((0, string.Join('\n', names.Select(name => $"pass {name}"))), (run.Status, run.Output.Trim()));
    }
}
