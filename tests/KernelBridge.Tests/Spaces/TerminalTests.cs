using System.Diagnostics;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class TerminalTests : IDisposable
{
    private readonly SpaceFixture space = new();

    private readonly List<Process> terminals = [];

    public void Dispose()
    {
        foreach (Process terminal in terminals)
        {
            terminal.Kill(entireProcessTree: true);
            terminal.WaitForExit();
            terminal.Dispose();
        }

        space.Dispose();
    }

    [Fact]
    public void The_terminals_interrupt_key_reaches_the_application_and_only_it_decides()
    {
        Process terminal = InTerminal("trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.01; done");
        Assert.Contains("ready", ReadUntil(terminal, "ready"));

        terminal.StandardInput.Write('\x03');
        terminal.StandardInput.Flush();

        Assert.Contains("interrupted", ReadUntil(terminal, "interrupted"));
        Assert.True(terminal.WaitForExit(SpaceFixture.Patience));
        Assert.Equal(7, terminal.ExitCode);
    }

    [Fact]
    public void A_shell_with_job_control_works_inside()
    {
        Process terminal = InTerminal("exec bash --norc --noprofile -i");
        // What the terminal echoes is the sum, not its result: the result comes from the job, in the foreground by then.
        terminal.StandardInput.Write("sh -c 'echo started-$((1+1)); exec sleep 1000'\n");
        terminal.StandardInput.Flush();
        ReadUntil(terminal, "started-2");
        terminal.StandardInput.Write('\x1a');
        terminal.StandardInput.Flush();
        ReadUntil(terminal, "Stopped");

        terminal.StandardInput.Write("kill %1; fg; echo status-$((40+2))\n");
        terminal.StandardInput.Flush();
        ReadUntil(terminal, "status-42");

        terminal.StandardInput.Write("exit 9\n");
        terminal.StandardInput.Flush();
        Assert.True(terminal.WaitForExit(SpaceFixture.Patience));
        Assert.Equal(9, terminal.ExitCode);
    }

    /// <summary>script(1) gives the supervisor a terminal of its own and passes its end on.</summary>
    private Process InTerminal(string shellScript)
    {
        string file = space.PathOf("script.sh");
        File.WriteAllText(file, shellScript);
        string command = string.Join(' ', HelperProcess.Command("run").Append(space.NewStateDirectory()).Append("sh").Append(file));
        Process terminal = Process.Start(new ProcessStartInfo("script", ["--quiet", "--return", "--command", $"exec {command}", "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        terminals.Add(terminal);
        return terminal;
    }

    private static string ReadUntil(Process terminal, string wanted)
    {
        var seen = new System.Text.StringBuilder();
        using var patience = new CancellationTokenSource(SpaceFixture.Patience);
        char[] one = new char[1];
        while (!seen.ToString().Contains(wanted))
        {
            int n = terminal.StandardOutput.ReadAsync(one, patience.Token).AsTask().GetAwaiter().GetResult();
            Assert.True(n == 1, $"the terminal closed after: {seen}");
            seen.Append(one[0]);
        }

        return seen.ToString();
    }
}
