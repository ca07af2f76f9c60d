namespace Holdfast.Kmod.Tests;

/// <summary>
/// Real applications, by the command line, through the device: with and without the interceptor, static programs beside dynamic ones, under strace and gdb. One of them when it is their turn
/// (HOLDFAST_TURN), all on every kernel with --long.
/// </summary>
[Collection(nameof(Guests))]
public sealed class ApplicationTests
{
    private static readonly (string Options, string Name)[] Cases =
    [
        ("", "bash"), ("--intercept", "mixed"), ("--trace strace", "bash"), ("", "python"), ("--intercept", "bash"), ("--trace gdb", "python"), ("", "redis"), ("--intercept", "python"),
        ("", "mixed"), ("--intercept", "redis"), ("--intercept", "fio"), ("", "fio"),
    ];

    /// <summary>Only with --long: it takes minutes.</summary>
    private static readonly (string Options, string Name)[] Slow = [("", "postgres"), ("--intercept", "postgres")];

    [KernelFact(turn: 2, of: 4)]
    public void Real_applications_are_captured_through_the_device()
    {
        (string Options, string Name)[] cases = Turns.Long ? [.. Cases, .. Slow] : [Cases[Turns.Turn / 4 % Cases.Length]];
        foreach (string kernel in Turns.Long ? Kernels.All : [Kernels.All[Turns.Turn / 8 % Kernels.All.Count]])
        {
            foreach (IGrouping<string, (string Options, string Name)> some in cases.Where(one => one.Name != "postgres" || Directory.Exists("/usr/lib/postgresql")).GroupBy(one => one.Options))
            {
                string[] names = [.. some.Select(one => one.Name)];
                CommandResult run = Shell.InGuest(
                    "applications", 300 + (names.Length * 300), ["--kernel", kernel], ["--bridge", "device", .. some.Key.Split(' ', StringSplitOptions.RemoveEmptyEntries)],
                    Path.Combine(Shell.Root, "tests", "programs", "applications"), names);
                Assert.Equal((0, string.Join('\n', names.Select(name => $"pass {name}"))), (run.Status, run.Output.Trim()));
            }
        }
    }
}
