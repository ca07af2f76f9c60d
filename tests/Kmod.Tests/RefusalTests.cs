namespace Holdfast.Kmod.Tests;

/// <summary>What only another machine or another kernel refuses: snapshots are made in one guest and restored in one that lacks what they had. When it is its turn (HOLDFAST_TURN), always with --long.</summary>
[Collection(nameof(Guests))]
public sealed class RefusalTests
{
    [KernelFact(turn: 3, of: 4)]
    public void What_a_machine_or_a_kernel_lacks_is_refused_by_name() => Shell.WithStatePrograms(["protection_keys", "tcp_sockets", "timer_identifiers", "unix_pairs"], directory =>
    {
        AssertSaid(
            Shell.InGuest("refusals", 600, ["--kernel", "6.1", "--module", "none", "--out", directory], ["--bridge", "ptrace"], directory, ["take"]),
            "without unix_diag: socket.diag", "unix_pairs: PASS", "host with ptrace_scope 3: host.yama", "checkpoint with ptrace_scope 3: host.yama", "protection_keys: PASS", "tcp_sockets:v6: PASS",
            "timer_identifiers: PASS");
        AssertSaid(
            Shell.InGuest(
                "refusals", 600, ["--kernel", "6.1", "--module", "none", "--cpu", "max,pku=off", "--cmdline", "ipv6.disable=1"], ["--bridge", "ptrace"], directory,
                ["restore", Path.Combine(directory, "store")]),
            "protection-keys: cpu.features memory.key", "tcp-sockets-v6: cpu.features socket.family", "timer-identifiers: cpu.features timer.id");
    });

    private static void AssertSaid(CommandResult run, params string[] lines) => Assert.Equal((0, string.Join('\n', lines), ""), (run.Status, run.Output.Trim(), run.Status == 0 ? "" : run.Errors));
}
