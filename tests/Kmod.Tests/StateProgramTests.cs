namespace Holdfast.Kmod.Tests;

/// <summary>
/// State programs are checkpointed and restored on Debian 12's kernel, which lacks much that newer ones have: PAGEMAP_SCAN, what an eventfd is, guard pages. Two by
/// default, in turn (HOLDFAST_TURN), many with --long. Not beside the guests of the other tests: both are slow enough alone.
/// </summary>
[Collection(nameof(Guests))]
public sealed class StateProgramTests
{
    private static readonly string[] Some = ["threads", "private_memory", "eventfd_counters", "unix_pairs"];

    private static readonly string[] Many =
    [
        .. Some, "pipe_bytes", "epoll_sets", "descriptors_in_flight", "posix_queues", "tcp_sockets:v4", "tcp_without_room:four", "memfd_files", "pidfds", "timerfd_timers", "signalfd_masks",
        "pseudo_terminals", "terminal_output", "protection_keys", "posix_timers", "robust_mutex", "madvise_flags", "sleeps", "system_v_queues", "file_locks", "shared_memory", "copy_on_write", "zombies",
        "terminal_input", "area_policies", "aio_contexts:calls",
    ];

    private static int Turn => int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_TURN"), out int turn) ? turn : DateTime.UtcNow.DayOfYear;

    [KernelFact]
    public void State_programs_go_on_after_a_restore_on_an_older_kernel()
    {
        string[] programs = IsLong ? Many : [.. Enumerable.Range(0, 2).Select(i => Some[((Turn * 2) + i) % Some.Length])];
        CommandResult run = Run(programs, 300 + (programs.Length * 120), "state-programs", programs);
        Assert.Equal((0, string.Join('\n', programs.Select(program => $"pass {program}"))), (run.Status, run.Output.Trim()));
    }

    /// <summary>That kernel has soft-dirty bits and nothing better: what is taken for unchanged by them is compared with memory in each checkpoint, and in each restored generation by the program.</summary>
    [KernelFact]
    public void Every_generation_is_what_memory_was_where_soft_dirty_bits_tell_it()
    {
        (int generations, string[] cases) = IsLong ? (10, ["1", "2"]) : (2, (string[])[$"{1 + (Turn % 2)}"]);
        CommandResult run = Run(["memory_churn"], 600 + (generations * cases.Length * 180), "generations", [$"{generations}", .. cases]);
        string[] expected =
        [
            "tracking of writes yes soft-dirty bits",
            .. cases.SelectMany(number => (string[])[.. Enumerable.Range(1, generations).Select(i => $"{number} {i}: {(i == 1 ? "full" : "incremental")}"), $"pass {number}"]),
        ];
        Assert.Equal((0, string.Join('\n', expected)), (run.Status, string.Join('\n', run.Output.Trim().Split('\n').Select(Words))));

        // Without how many pages there were.
        static string Words(string line) => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(word => !word.StartsWith('"')));
    }

    private static bool IsLong => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    /// <summary>Runs a script of the harness in a guest, with Holdfast and the directory in which the programs are.</summary>
    private static CommandResult Run(string[] programs, int seconds, string script, string[] arguments)
    {
        string root = Path.GetFullPath(Path.Combine(Shell.Harness, "..", ".."));
        string binaries = Directory.CreateTempSubdirectory("holdfast-programs-").FullName;
        try
        {
            CommandResult built = Shell.Run(Path.Combine(root, "holdfast"), "--version");
            Assert.True(built.Status == 0, built.ToString());
            CommandResult compiled = Shell.Run("sh", [Path.Combine(root, "tests", "programs", "build.sh"), binaries, .. programs.Select(program => program.Split(':')[0])]);
            Assert.True(compiled.Status == 0, compiled.ToString());
            return Shell.Run(
                Path.Combine(Shell.Harness, "run"),
                ["--kernel", "6.1", "--module", "none", "--memory", "2000", "--timeout", $"{seconds}", Path.Combine(Shell.Harness, script), Path.Combine(root, ".build", "app", "holdfast"), binaries, .. arguments]);
        }
        finally
        {
            Directory.Delete(binaries, recursive: true);
        }
    }
}
