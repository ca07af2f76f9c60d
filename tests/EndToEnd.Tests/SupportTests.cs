using System.Diagnostics;

namespace Holdfast.EndToEnd.Tests;

/// <summary>The runner's own parts: a runner that sees nothing would pass everything.</summary>
public sealed class SupportTests
{
    [Fact]
    public void A_header_comment_gives_cases_and_flags()
    {
        var program = StateProgram.Parse("x", "/*\n * Subject: a: b\n * Cases: one two\n * Files: written\n * Seconds: yes\n */\n * Refused: yes\n");
        Assert.Equal(["one", "two"], program.Cases);
        Assert.True(program.WritesFiles);
        Assert.True(program.AboutTime);
        Assert.False(program.Refused);
    }

    [Fact]
    public void A_program_without_cases_is_run_once_with_none() => Assert.Equal([""], StateProgram.Parse("x", "/*\n * Subject: y\n */").Cases);

    [Fact]
    public void Json_lines_are_found_among_other_output()
    {
        CommandResult result = new("c", 0, false, "hello\n{\"snapshot\":\"s1\",\"freezeMs\":1.5}\n{no json\n", "");
        Assert.Equal("s1", result.Text("snapshot"));
        Assert.Equal(1.5, result.Number("freezeMs"));
        Assert.Throws<EndToEndException>(() => result.Number("absent"));
    }

    [Theory]
    [InlineData(0, "holdfast: x: y; z", false)]
    [InlineData(134, "holdfast: x: y; z", false)]
    [InlineData(1, "", false)]
    [InlineData(1, "Unhandled exception. System.Exception: x\n   at Y.Z()", false)]
    [InlineData(1, "holdfast: x: y; z", true)]
    [InlineData(5, "holdfast: x: y; z", true)]
    public void Only_an_orderly_refusal_counts_as_one(int exitCode, string error, bool orderly)
    {
        CommandResult result = new("c", exitCode, false, "", error);
        if (orderly)
        {
            Assert.Same(result, result.RequiredToBeRefused());
        }
        else
        {
            Assert.Throws<EndToEndException>(result.RequiredToBeRefused);
        }
    }

    [Fact]
    public void A_command_that_leaves_a_child_with_its_streams_does_not_hold_the_runner_up()
    {
        using WorkDirectory work = new();
        CommandRunner runner = new(work.Scratch, new Dictionary<string, string> { [ProcessScan.MarkVariable] = work.Path });
        try
        {
            var result = runner.Run(TimeSpan.FromSeconds(20), "/bin/sh", "-c", "sleep 300 & echo started");
            Assert.True(result.Succeeded, result.ToString());
            Assert.Equal("started\n", result.Output);
            // It is a shell for a moment, and nothing at all while it becomes the other program.
            Until.Required(
                () => ProcessScan.Application(work.Path) is [var left] && left.CommandLine.Contains("sleep", StringComparison.Ordinal),
                () => $"what is left: {string.Join(", ", ProcessScan.Application(work.Path).Select(p => p.CommandLine))}");
        }
        finally
        {
            ProcessScan.KillAll(work.Path);
        }

        Assert.Empty(ProcessScan.Marked(work.Path));
    }

    [Fact]
    public void A_command_that_does_not_end_is_killed_at_its_bound()
    {
        using WorkDirectory work = new();
        CommandRunner runner = new(work.Scratch, new Dictionary<string, string>());
        var result = runner.Run(TimeSpan.FromMilliseconds(300), "/bin/sleep", "300");
        Assert.True(result.TimedOut);
        Assert.Equal(137, result.ExitCode);
    }

    [Fact]
    public void Files_that_came_after_a_checkpoint_are_forgotten_and_older_ones_are_not_touched()
    {
        using WorkDirectory work = new();
        work.Mark("ready");
        Directory.CreateDirectory(work.In("below"));
        work.Mark("below/old");
        work.Remember();
        work.Mark("go");
        work.Mark("below/new");
        work.Forget();
        Assert.True(work.Has("ready"));
        Assert.True(work.Has("below/old"));
        Assert.False(work.Has("go"));
        Assert.False(work.Has("below/new"));
    }

    [Fact]
    public void The_threads_of_a_process_show_state_and_blocked_signals()
    {
        var threads = ProcessScan.Threads(Environment.ProcessId);
        Assert.Contains(threads, thread => thread.Tid == Environment.ProcessId);
        Assert.All(threads, thread => Assert.Equal(0, thread.TracerPid));
        Assert.All(threads, thread => Assert.Equal(16, thread.BlockedSignals.Length));
    }

    [Fact]
    public void Foretold_lines_are_told_from_lost_doubled_and_wrong_ones()
    {
        using WorkDirectory work = new();
        string[] good = ["0 1", "1 9", "2 19"];
        File.WriteAllLines(work.In("out"), [.. good, "end"]);
        Assert.Equal(3, ForetoldOutput.RequireWhole(work.In("out"), true));
        foreach (var bad in new string[][] { ["0 1", "2 19", "end"], ["0 1", "0 1", "1 9", "end"], ["0 1", "1 8", "end"], ["0 1", "1 9"] })
        {
            File.WriteAllLines(work.In("out"), bad);
            Assert.Throws<EndToEndException>(() => ForetoldOutput.RequireWhole(work.In("out"), true));
        }
    }
}
