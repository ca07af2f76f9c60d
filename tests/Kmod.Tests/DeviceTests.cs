namespace Holdfast.Kmod.Tests;

/// <summary>What runs inside the guests: a fact for every test of tests/vm/programs, on every kernel.</summary>
[Collection(nameof(Guests))]
public sealed class DeviceTests(Guests guests)
{
    /// <summary>Every kernel with every test.</summary>
    public static TheoryData<string, string> Tests
    {
        get
        {
            TheoryData<string, string> tests = [];
            foreach (string kernel in Kernels.All)
            {
                foreach (string name in Guests.Names)
                {
                    tests.Add(kernel, name);
                }
            }

            return tests;
        }
    }

    public static TheoryData<string> EveryKernel => [.. Kernels.All];

    [KernelTheory]
    [MemberData(nameof(Tests))]
    public void In_the_guest(string kernel, string name) => guests[kernel].AssertPassed(name);

    [KernelTheory]
    [MemberData(nameof(EveryKernel))]
    public void The_module_is_built_without_a_warning_of_the_compiler_or_of_sparse(string kernel)
    {
        // Said where the headers come without the kernel's own type information, and of a header of the kernel's (io_uring_types.h): no fault of the sources.
        IEnumerable<string> lines = (guests[kernel].Build.Output + guests[kernel].Build.Errors).Split('\n').Where(line =>
            !line.StartsWith("Skipping BTF generation", StringComparison.Ordinal) && !line.EndsWith("note: in included file:", StringComparison.Ordinal) && !line.Contains("/include/linux/io_uring_types.h:", StringComparison.Ordinal));
        Assert.All(lines, Assert.Empty);
    }

    [KernelTheory]
    [MemberData(nameof(EveryKernel))]
    public void Random_calls_leave_nothing_frozen(string kernel)
    {
        Assert.True(guests[kernel].Run.Output.Contains("pass fuzz"), $"seed {guests[kernel].Seed}: {guests[kernel].Run}");
    }

    [KernelTheory]
    [MemberData(nameof(EveryKernel))]
    public void The_kernel_has_nothing_to_complain_of(string kernel) =>
        Assert.True(guests[kernel].Run.Status == 0, $"seed of the fuzzer {guests[kernel].Seed}: {guests[kernel].Run}");

    [KernelFact(takes: "half an hour", kernel: "debug")]
    public void A_kernel_that_checks_itself_has_nothing_to_complain_of()
    {
        CommandResult run = guests.RunBuiltIn(fuzzed: 600);
        Assert.True(run.Status == 0 && run.Output.Contains("pass fuzz") && run.Output.Contains("pass client") && !run.Output.Contains("fail "), run.ToString());
    }

    [KernelTheory]
    [MemberData(nameof(EveryKernel))]
    public void The_client_freezes_reads_and_writes_a_process(string kernel) => guests[kernel].AssertPassed("client");
}

/// <summary>The guests are started once.</summary>
[CollectionDefinition(nameof(Guests))]
public sealed class GuestsCollection : ICollectionFixture<Guests>;
