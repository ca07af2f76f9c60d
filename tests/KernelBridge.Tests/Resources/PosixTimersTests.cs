using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using Holdfast.KernelBridge.Tests.Tape;

namespace Holdfast.KernelBridge.Tests.Resources;

public sealed partial class PosixTimersTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Timers_get_their_identifiers_with_and_without_the_kernels_help(bool help)
    {
        if (help && Environment.OSVersion.Version < new Version(6, 16))
        {
            return;
        }

        PosixTimerImage[] timers = [Timer(0, 5), Timer(3, 6), Timer(700, 7)];
        TapeInterpreterTests.InStub(stub =>
        {
            ProcessImage image = new() { Pid = 1, ParentPid = 0, ProcessGroup = 1, Session = 1, Name = "timers", CommandLine = "timers", PosixTimers = [timers[2], timers[0], timers[1]] };
            SyscallTape tape = stub.NewTape();
            PosixTimers.Restore(image, 0, tape, help);
            stub.Run(tape);
            string[] found = [.. Timers().Matches(ProcFs.Text($"/proc/{stub.HostPid}/timers")).Select(match => $"{match.Groups[1].Value} {match.Groups[2].Value}").Order(StringComparer.Ordinal)];
            Assert.Equal(timers.Select(timer => $"{timer.Id} {timer.Value:x16}"), found);
            return 0;
        });
    }

    private static PosixTimerImage Timer(int id, ulong value) => new(id, 1, 0, 10, value, 0, 0, 3_000_000_000_000);

    [GeneratedRegex(@"ID: (\d+)\nsignal: 10/([0-9a-f]+)\n")]
    private static partial Regex Timers();
}
