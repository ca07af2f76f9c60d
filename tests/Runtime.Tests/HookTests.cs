using System.Diagnostics;

namespace Holdfast.Runtime.Tests;

/// <summary>Executables around checkpoints and restores.</summary>
public sealed class HookTests : IDisposable
{
    private static readonly string[] Stages = ["before-freeze", "after-resume", "before-restore", "after-restore"];

    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    [RootFact]
    public void They_are_run_in_their_turn_and_know_what_they_are_run_for()
    {
        string log = _holdfast.File("log");
        string hook = Script("hook", $"echo $HOLDFAST_HOOK $HOLDFAST_NAME ${{HOLDFAST_PID:+pid}} ${{HOLDFAST_RESULT:--}} ${{HOLDFAST_SNAPSHOT:+snapshot}} >>{log}");
        Run([.. Stages.Select(stage => $"--hook={stage}={hook}")]);

        _holdfast.Run("checkpoint", "h").Succeeds();
        Assert.Equal(["before-freeze h pid -", "after-resume h pid done"], Lines(log));
        _holdfast.Run("checkpoint", "h", "--stop").Succeeds();
        Assert.Equal("before-freeze h pid -", Lines(log)[^1]);
        _holdfast.Run("restore", "h", "--detach").Succeeds();
        Assert.Equal(["before-restore h - snapshot", "after-restore h pid done snapshot"], Lines(log)[^2..]);
        // The restored application has them too.
        _holdfast.Run("checkpoint", "h").Succeeds();
        Assert.Equal(["before-freeze h pid -", "after-resume h pid done"], Lines(log)[^2..]);
        _holdfast.Run("kill", "h").Succeeds();
    }

    [RootFact]
    public void One_that_fails_before_keeps_from_it_and_is_quoted()
    {
        string log = _holdfast.File("log"), fails = _holdfast.File("fails");
        string refuse = Script("refuse", $"if [ -e {fails} ]; then echo not now >&2; exit 3; fi");
        string note = Script("note", $"echo $HOLDFAST_HOOK $HOLDFAST_RESULT >>{log}");
        Run([$"--hook=before-freeze={refuse}", $"--hook=after-resume={note}", $"--hook=before-restore={refuse}", $"--hook=after-restore={note}"]);
        _holdfast.Run("checkpoint", "h").Succeeds();
        File.WriteAllText(fails, "");

        Outcome refused = _holdfast.Run("-o", "json", "checkpoint", "h");
        Assert.Equal(1, refused.Status);
        Assert.Contains("\"error\":\"hook.failed\"", refused.Output);
        Assert.Contains("status 3 (not now)", refused.Output);
        Assert.Equal(["after-resume done", "after-resume failed"], Lines(log));
        Assert.Single(_holdfast.Run("snapshots", "h", "-o", "json").Succeeds().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));

        _holdfast.Run("kill", "h").Succeeds();
        Outcome restore = _holdfast.Run("restore", "h", "--detach");
        Assert.NotEqual(0, restore.Status);
        Assert.Contains("before-restore hook", restore.Errors);
        Assert.Equal("after-restore failed", Lines(log)[^1]);
        File.Delete(fails);
        _holdfast.Run("restore", "h", "--detach").Succeeds();
        _holdfast.Run("kill", "h").Succeeds();
    }

    [RootFact]
    public void One_that_fails_afterwards_is_a_warning_and_one_that_lasts_is_killed_with_what_it_started()
    {
        string child = _holdfast.File("child");
        File.WriteAllText(Path.Combine(_holdfast.Directory, "slow.conf"), "holdfast.hooks.timeout = 1s");
        _holdfast.Environment["HOLDFAST_CONFIG"] = Path.Combine(_holdfast.Directory, "slow.conf");
        string fails = Script("fails", "echo too bad; exit 1");
        string lasts = Script("lasts", $"sleep 1000 & echo $! >{child}; wait");
        Run([$"--hook=after-resume={fails}"]);
        Outcome taken = _holdfast.Run("checkpoint", "h").Succeeds();
        Assert.Contains("warning: running the after-resume hook", taken.Output);
        Assert.Contains("too bad", taken.Output);
        _holdfast.Run("kill", "h").Succeeds();

        Outcome restored = _holdfast.Run("restore", "h", "--detach", $"--hook=before-freeze={lasts}").Succeeds();
        Assert.DoesNotContain("warning", restored.Output);
        Outcome late = _holdfast.Run("-o", "json", "checkpoint", "h");
        Assert.Equal(5, late.Status);
        Assert.Contains("hook.timeout", late.Output);
        int pid = int.Parse(File.ReadAllText(child));
        HoldfastProgram.Until(() => !Directory.Exists($"/proc/{pid}") || File.ReadAllText($"/proc/{pid}/stat").Contains(") Z "), "the hook's child is gone");
        _holdfast.Run("kill", "h").Succeeds();
    }

    [RootFact]
    public void Wrong_ones_are_refused_at_once()
    {
        Assert.Equal((125, "is no hook"), Refused("--hook=later=/bin/true", "is no hook"));
        Assert.Equal((127, "not found"), Refused("--hook=before-freeze=/nowhere", "not found"));
        File.WriteAllText(_holdfast.File("text"), "");
        Assert.Equal((126, "not an executable"), Refused($"--hook=before-freeze={_holdfast.File("text")}", "not an executable"));
    }

    private (int Status, string Said) Refused(string option, string expected)
    {
        Outcome outcome = _holdfast.Run("run", "--name", "w", option, "--", "true");
        return (outcome.Status, outcome.Errors.Contains(expected) ? expected : outcome.Errors);
    }

    private void Run(string[] hooks) => _holdfast.Run(["run", "--name", "h", "--detach", .. hooks, "--", "sleep", "1000"]).Succeeds();

    private static string[] Lines(string file) => File.ReadAllLines(file).Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))).ToArray();

    private string Script(string name, string body)
    {
        string file = _holdfast.File(name);
        File.WriteAllText(file, $"#!/bin/sh\n{body}\n");
        File.SetUnixFileMode(file, (UnixFileMode)0b111_101_101);
        return file;
    }
}
