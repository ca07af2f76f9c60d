namespace Holdfast.Kmod.Tests;

/// <summary>A test for which a kernel's packages and QEMU are needed; where they cannot be had it is skipped, and says why.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KernelFactAttribute : FactAttribute
{
    public KernelFactAttribute() => Skip = Kernels.WhyNot;

    /// <summary>0 or 1: it takes turns with another, from day to day (HOLDFAST_TURN); <c>./test --long</c> runs both.</summary>
    public int Turn
    {
        get;
        set
        {
            field = value;
            Skip ??= Turns.Long || Turns.Turn % 2 == value ? null : "another one's turn (HOLDFAST_TURN)";
        }
    }

    /// <summary>How long it takes, when that is so long that only <c>./test --long</c> runs it.</summary>
    public string? Takes
    {
        get;
        set
        {
            field = value;
            Skip ??= Turns.Long ? null : $"it takes {value} and more: ./test --long runs it";
        }
    }
}

/// <inheritdoc cref="KernelFactAttribute"/>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KernelTheoryAttribute : TheoryAttribute
{
    public KernelTheoryAttribute() => Skip = Kernels.WhyNot;

    /// <summary>0 or 1: it takes turns with another, from day to day (HOLDFAST_TURN); <c>./test --long</c> runs both.</summary>
    public int Turn
    {
        get;
        set
        {
            field = value;
            Skip ??= Turns.Long || Turns.Turn % 2 == value ? null : "another one's turn (HOLDFAST_TURN)";
        }
    }
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

    private static string? Reach(string kernel)
    {
        CommandResult result = Shell.Run(Path.Combine(Shell.Harness, "kernel"), kernel);
        return result.Status == 0 ? null : result.Errors.Trim();
    }
}
