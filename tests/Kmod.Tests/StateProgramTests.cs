namespace Holdfast.Kmod.Tests;

/// <summary>
/// State programs are checkpointed and restored on Debian 12's kernel, which lacks much that newer ones have: PAGEMAP_SCAN, what an eventfd is, guard pages; and through
/// the device. One and one by default, in turn (HOLDFAST_TURN), many with --long. Not beside the guests of the other tests: both are slow enough alone.
/// </summary>
[Collection(nameof(Guests))]
public sealed class StateProgramTests
{
    private static readonly string[] Some = ["threads:8", "private_memory", "eventfd_counters", "unix_pairs"];

    private static readonly string[] Many =
    [
        .. Some, "pipe_bytes", "epoll_sets", "descriptors_in_flight", "posix_queues", "tcp_sockets:v4", "tcp_without_room:four", "memfd_files", "pidfds", "timerfd_timers", "signalfd_masks",
        "pseudo_terminals", "terminal_output", "protection_keys", "posix_timers", "robust_mutex", "madvise_flags", "sleeps:futex", "system_v_queues", "file_locks", "shared_memory", "copy_on_write", "zombies",
        "terminal_input", "area_policies", "aio_contexts:calls",
    ];

    /// <summary>What shows to a tracer only: the device refuses them by name.</summary>
    private static readonly string[] OfTracers = ["posix_queues", "terminal_output", "terminal_input"];

    /// <summary>What counts its threads: the interceptor's is one more.</summary>
    private static readonly string[] OfTheirThreads = ["pids_and_tids"];

    /// <summary>What only kernels restore that are newer than any here (Linux 6.16).</summary>
    private static readonly string[] OfNewerKernels = ["timer_identifiers"];

    public static TheoryData<string> EveryKernel => BridgeTests.EveryKernel;

    private static readonly string[] Captured =
        ["threads:64", "eventfd_counters", "sleeps:nanosleep", "unix_pairs", "posix_timers", "private_memory", "tcp_without_room:four", "robust_mutex", "pipe_bytes", "shared_memory", "io_urings:plain"];

    [Fact]
    public void Every_program_named_here_is_one_of_the_suite() => Assert.Empty(Many.Concat(OfTracers).Concat(OfTheirThreads).Concat(OfNewerKernels).Concat(Captured).Except(Listed()));

    [KernelFact]
    public void State_programs_go_on_after_a_restore_on_an_older_kernel() => Run(Turns.Long ? Many : Turns.Some(Some, 1), ["--kernel", "6.1", "--module", "none"], ["--bridge", "ptrace"]);

    /// <summary>By the command line, in turn with those through the contract alone and with real applications, with the interceptor every other time; all of them both ways on every kernel (--long).</summary>
    [KernelFact(turn: 0, of: 4)]
    public void State_programs_are_captured_through_the_device()
    {
        foreach (string kernel in Turns.Long ? Kernels.All : ["6.1"])
        {
            foreach (bool intercept in Turns.Long ? (bool[])[false, true] : [Turns.Turn / 4 % 2 == 0])
            {
                string[] names = Turns.Long ? [.. All().Except(intercept ? OfTheirThreads : [])] : Turns.Some(Captured, 1);
                Run(names, ["--kernel", kernel, "--memory", "2500"], ["--bridge", "device", .. intercept ? (string[])["--intercept"] : []]);
            }
        }
    }

    /// <summary>All of them through the contract alone, in one process of the guest's (--long); a few in the suite's turn.</summary>
    [KernelTheory(turn: 1, of: 2)]
    [MemberData(nameof(EveryKernel))]
    public void State_programs_go_on_after_a_capture_through_the_device(string kernel)
    {
        string[] names = Turns.Long ? All() : Turns.Some(All(), 4);
        Shell.WithStatePrograms(names, binaries =>
        {
            CommandResult run = Shell.Run(
                Path.Combine(Shell.Harness, "run"),
                ["--kernel", kernel, "--memory", "3000", "--timeout", $"{300 + (names.Length * 20)}",
                    "sh", "-c", $"TMPDIR=/run HOLDFAST_PATIENCE=180 exec dotnet {Suite} state-programs device {binaries} {string.Join(' ', names)}"]);
            string[] said = run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.True(run.Status == 0, run.ToString());
            Assert.Equal(names, said.Select(line => line.Split(' ', 3)[1].TrimEnd(':')));
            Assert.Contains(said, line => line.StartsWith("pass ", StringComparison.Ordinal));
        });
    }

    /// <summary>That kernel has soft-dirty bits and nothing better: what is taken for unchanged by them is compared with memory in each checkpoint, and in each restored generation by the program.</summary>
    [KernelFact(takes: "two minutes")]
    public void Every_generation_is_what_memory_was_where_soft_dirty_bits_tell_it()
    {
        (int generations, string[] cases) = (10, ["1", "2"]);
        string[] expected =
        [
            "tracking of writes yes soft-dirty bits",
            .. cases.SelectMany(number => (string[])[.. Enumerable.Range(1, generations).Select(i => $"{number} {i}: {(i == 1 ? "full" : "incremental")}"), $"pass {number}"]),
        ];
        Shell.WithStatePrograms(["memory_churn"], binaries =>
        {
            CommandResult run = Shell.InGuest("generations", 600 + (generations * cases.Length * 180), ["--kernel", "6.1", "--module", "none"], [], binaries, [$"{generations}", .. cases]);
            Assert.Equal((0, string.Join('\n', expected)), (run.Status, string.Join('\n', run.Output.Trim().Split('\n').Select(Words))));
        });

        // Without how many pages there were.
        static string Words(string line) => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(word => !word.StartsWith('"')));
    }

    private static string Suite => typeof(StateProgramTests).Assembly.Location.Replace("Kmod.Tests", "KernelBridge.Tests");

    private static string[] All() => [.. Listed().Except(OfTracers).Except(OfNewerKernels)];

    private static string[] Listed()
    {
        string[] names = Shell.Run("dotnet", Suite, "state-programs", "--list").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.NotEmpty(names);
        return names;
    }

    private static void Run(string[] programs, string[] machine, string[] options) => Shell.WithStatePrograms(programs, binaries =>
    {
        CommandResult run = Shell.InGuest("state-programs", 300 + (programs.Length * 120), machine, options, binaries, programs);
        // Without why one has nothing to show on that kernel.
        string said = string.Join('\n', run.Output.Trim().Split('\n').Select(line => line.Split(" (SKIP", 2)[0]));
        Assert.Equal((0, string.Join('\n', programs.Select(program => $"pass {program}"))), (run.Status, said));
    });
}
