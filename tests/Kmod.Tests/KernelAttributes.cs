namespace Holdfast.Kmod.Tests;

/// <summary>A test for which a kernel's packages and QEMU are needed; where they cannot be had it is skipped, and says why.</summary>
/// <param name="turn">Where it takes turns with others, from day to day (HOLDFAST_TURN), whose this one's is: 0 to <paramref name="of"/> - 1. <c>./test --long</c> runs all.</param>
/// <param name="of">How many turns there are; 0: it takes none.</param>
/// <param name="takes">How long it takes, when that is so long that only <c>./test --long</c> runs it.</param>
/// <param name="kernel">A kernel that is built for it (tests/vm/debug-kernel).</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KernelFactAttribute(int turn = 0, int of = 0, string? takes = null, string? kernel = null) : FactAttribute
{
    public override string? Skip { get; set; } = Kernels.WhyNot ?? Turns.WhyNot(turn, of, takes) ?? (kernel is null ? null : Kernels.Reach(kernel));
}

/// <inheritdoc cref="KernelFactAttribute"/>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KernelTheoryAttribute(int turn = 0, int of = 0) : TheoryAttribute
{
    public override string? Skip { get; set; } = Kernels.WhyNot ?? Turns.WhyNot(turn, of, takes: null);
}

/// <summary>The kernels that tests are run on.</summary>
internal static class Kernels
{
    private static readonly string[] Names = ["6.1", "newest"];

    private static readonly Lazy<string?> Reason = new(() => Names.Select(Reach).FirstOrDefault(reason => reason is not null));

    /// <summary>Debian 12's own and the newest that the package sources serve.</summary>
    public static IReadOnlyList<string> All => Names;

    /// <summary>Null when the kernels can be had.</summary>
    public static string? WhyNot => Reason.Value;

    /// <summary>Where one was unpacked.</summary>
    public static string Directory(string kernel) => Shell.Run(Path.Combine(Shell.Harness, "kernel"), kernel).Output.Trim();

    /// <summary>Null when that one can be had, which is fetched or built first; otherwise why not.</summary>
    public static string? Reach(string kernel)
    {
        CommandResult result = Shell.Run(Path.Combine(Shell.Harness, "kernel"), kernel);
        return result.Status == 0 ? null : result.Errors.Trim();
    }
}
