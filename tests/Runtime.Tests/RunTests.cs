using System.Diagnostics;
using System.Text.Json;

namespace Holdfast.Runtime.Tests;

public sealed class RunTests : IDisposable
{
    private const string Counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";

    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    [RootFact]
    public void Streams_and_exit_status_pass_through()
    {
        Outcome outcome = _holdfast.RunWithInput("one\ntwo\n", "run", "--", "sh", "-c", "read a; read b; echo $b $a; echo error >&2; exit 7");

        Assert.Equal((7, "two one\n", "error\n"), (outcome.Status, outcome.Output, outcome.Errors));
        Assert.Equal(137, _holdfast.Run("run", "--", "sh", "-c", "kill -KILL $$").Status);
        Assert.Equal(0, _holdfast.Run("run", "true").Status);
    }

    [RootFact]
    public void Arguments_directory_and_environment_pass_through_unchanged()
    {
        _holdfast.Environment["MARK"] = "a b\nc";

        Outcome outcome = _holdfast.Run("run", "--name", "x", "sh", "-c", "printf '%s|' \"$MARK\" \"$PWD\" \"$@\"", "sh", "--name", "y z", "", "--", "-o", "json");

        Assert.Equal($"a b\nc|{_holdfast.Directory}|--name|y z||--|-o|json|", outcome.Output);
    }

    [RootFact]
    public void Signals_are_passed_on()
    {
        string log = _holdfast.File("log");
        using Process run = _holdfast.Start(
            "run", "--log", log, "--", "sh", "-c", "trap 'echo USR1' USR1; trap 'echo HUP' HUP; trap 'echo TERM; exit 9' TERM; echo ready; while :; do sleep 0.02; done");
        HoldfastProgram.Until(() => File.Exists(log) && File.ReadAllText(log).Contains("ready"), "ready");

        foreach (string signal in (string[])["USR1", "HUP", "TERM"])
        {
            Process.Start("kill", [$"-{signal}", $"{run.Id}"]).WaitForExit();
            HoldfastProgram.Until(() => File.ReadAllText(log).Contains(signal), signal);
        }

        Assert.True(run.WaitForExit(HoldfastProgram.Patience));
        Assert.Equal(9, run.ExitCode);
        Assert.Equal("ready\nUSR1\nHUP\nTERM\n", File.ReadAllText(log));
    }

    [RootFact]
    public void A_key_on_the_terminal_reaches_the_application_once()
    {
        string log = _holdfast.File("log");
        // "exec": a shell that waited in between would get the key too, and some end of it whatever their child made of it.
        string inner = $"exec {HoldfastProgram.Executable} run -- bash -c 'trap \"echo INT >>{log}\" INT; tty >>{log}; while [ ! -e {log}.end ]; do sleep 0.02; done; exit 5'";
        ProcessStartInfo start = new("script", ["-qefc", inner, "/dev/null"]) { RedirectStandardInput = true, RedirectStandardOutput = true, WorkingDirectory = _holdfast.Directory };
        start.Environment["HOLDFAST_STORE"] = _holdfast.Store;
        using Process script = Process.Start(start)!;
        Task<string> output = script.StandardOutput.ReadToEndAsync();
        HoldfastProgram.Until(() => File.Exists(log) && File.ReadAllText(log).Contains("/dev/"), "a terminal");

        script.StandardInput.Write('\x03');
        script.StandardInput.Flush();
        HoldfastProgram.Until(() => File.ReadAllText(log).Contains("INT"), "INT");
        // A second, doubled signal would come before the end that is asked for after the first.
        File.WriteAllText($"{log}.end", "");

        Assert.True(script.WaitForExit(HoldfastProgram.Patience));
        Assert.Equal(5, script.ExitCode);
        Assert.Single(File.ReadAllLines(log), "INT");
        Assert.Contains("^C", output.Result);
    }

    [RootFact]
    public void A_running_application_is_listed_checkpointed_lost_and_restored()
    {
        string log = _holdfast.File("first");
        string again = _holdfast.File("second");
        JsonElement started = _holdfast.Run("-o", "json", "run", "--name", "app", "--detach", "--log", log, "--", "sh", "-c", Counter).Succeeds().Json;
        Assert.Equal(("app", "running"), (started.GetProperty("name").GetString(), started.GetProperty("state").GetString()));
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > 3, "some lines");

        long before = HoldfastProgram.LastNumber(log);
        JsonElement taken = _holdfast.Run("-o", "json", "checkpoint", "app").Succeeds().Json;
        long after = HoldfastProgram.LastNumber(log);
        foreach (string field in (string[])["processes", "threads", "freezeMs", "totalMs", "bytesScanned", "bytesStored"])
        {
            Assert.True(taken.GetProperty(field).GetDouble() > 0, field);
        }

        foreach (string field in (string[])["parent", "pagesZero", "pagesShared", "pagesUnchanged"])
        {
            Assert.True(taken.TryGetProperty(field, out _), field);
        }

        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > after, "the application goes on");
        Assert.Equal(137, _holdfast.Run("-o", "json", "kill", "app").Succeeds().Json.GetProperty("exitStatus").GetInt32());
        JsonElement restored = _holdfast.Run("-o", "json", "restore", "app", "--files", "as-is", "--detach", "--log", again).Succeeds().Json;
        Assert.Equal(taken.GetProperty("snapshot").GetString(), restored.GetProperty("snapshot").GetString());
        Assert.Equal(taken.GetProperty("threads").GetInt32(), restored.GetProperty("threads").GetInt32());
        Assert.True(restored.GetProperty("bytesRead").GetInt64() > 0);

        Assert.Equal("running", _holdfast.Run("-o", "json", "show", "app").Succeeds().Json.GetProperty("state").GetString());
        Assert.Single(_holdfast.Run("-o", "json", "snapshots", "app").Succeeds().JsonLines);
        JsonElement inspected = _holdfast.Run("-o", "json", "inspect", "app").Succeeds().Json;
        Assert.Contains(inspected.GetProperty("processes").EnumerateArray(), p => p.GetProperty("name").GetString() == "sh");
        _holdfast.Run("stop", "app").Succeeds();
        Assert.True(before > 0);
    }

    [RootFact]
    public void An_application_outlives_its_supervisor_and_the_next_command_supervises_it()
    {
        string log = _holdfast.File("log");
        _holdfast.Run("run", "--name", "app", "--detach", "--log", log, "--", "sh", "-c", Counter).Succeeds();
        int supervisor = _holdfast.Run("-o", "json", "show", "app").Json.GetProperty("supervisorPid").GetInt32();
        Process.Start("kill", ["-KILL", $"{supervisor}"]).WaitForExit();
        HoldfastProgram.Until(() => !_holdfast.Run("-o", "json", "show", "app").Json.GetProperty("supervised").GetBoolean(), "the supervisor is gone");

        long then = HoldfastProgram.LastNumber(log);
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > then, "the application goes on");
        _holdfast.Run("checkpoint", "app").Succeeds();
        _holdfast.Run("run", "--adopt", "app", "--detach").Succeeds();
        Assert.True(_holdfast.Run("-o", "json", "show", "app").Json.GetProperty("supervised").GetBoolean());
        _holdfast.Run("checkpoint", "app").Succeeds();

        Assert.Equal(125, _holdfast.Run("run", "--adopt", "app").Status);
        Assert.Equal(125, _holdfast.Run("run", "--name", "app", "--", "true").Status);
        Assert.Equal(1, _holdfast.Run("forget", "app", "--all").Status);
        Assert.Equal(143, _holdfast.Run("-o", "json", "stop", "app").Succeeds().Json.GetProperty("exitStatus").GetInt32());
        Assert.Equal(1, _holdfast.Run("checkpoint", "app").Status);
    }

    [RootFact]
    public void Checkpoints_that_are_asked_for_at_once_are_all_taken()
    {
        _holdfast.Run("run", "--name", "app", "--detach", "--", "sh", "-c", Counter).Succeeds();

        Outcome[] outcomes = [.. Enumerable.Range(0, 4).AsParallel().Select(_ => _holdfast.Run("checkpoint", "app"))];

        Assert.All(outcomes, o => o.Succeeds());
        Assert.Equal(4, _holdfast.Run("-o", "json", "snapshots", "app").JsonLines.Count);
        _holdfast.Run("verify").Succeeds();
    }

    [RootFact]
    public void An_application_that_ends_with_its_checkpoint_is_forgotten_with_all_its_snapshots()
    {
        _holdfast.Run("run", "--name", "app", "--detach", "--", "sh", "-c", Counter).Succeeds();
        string snapshot = _holdfast.Run("-o", "json", "checkpoint", "app", "--stop").Succeeds().Json.GetProperty("snapshot").GetString()!;
        JsonElement listed = Assert.Single(_holdfast.Run("-o", "json", "list").JsonLines);
        Assert.Equal("ended", listed.GetProperty("state").GetString());

        _holdfast.Run("forget", $"app@{snapshot}").Succeeds();
        Assert.Equal(1, _holdfast.Run("inspect", "app").Status);
        _holdfast.Run("forget", "app", "--all").Succeeds();
        Assert.Empty(_holdfast.Run("-o", "json", "list").JsonLines);
        Assert.True(_holdfast.Run("-o", "json", "gc").Succeeds().Json.GetProperty("bytesFreed").GetInt64() > 0);
    }

    [RootFact]
    public void A_store_deep_in_the_file_system_works_although_socket_names_are_short()
    {
        string deep = Path.Combine(_holdfast.Directory, string.Join('/', Enumerable.Repeat("a-directory-of-some-length", 6)));
        _holdfast.Environment["HOLDFAST_STORE"] = deep;

        _holdfast.Run("run", "--name", "app", "--detach", "--", "sh", "-c", Counter).Succeeds();
        _holdfast.Run("checkpoint", "app").Succeeds();
        _holdfast.Run("kill", "app").Succeeds();
    }

    [RootFact]
    public void A_process_tree_is_dumped_and_comes_back_with_its_pid()
    {
        string log = _holdfast.File("log");
        using Process tree = Process.Start("setsid", ["-f", "sh", "-c", $"exec >>{log} </dev/null 2>/dev/null; echo $$ >{log}.pid; {Counter}"]);
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > 3, "some lines");
        string pid = File.ReadAllText($"{log}.pid").Trim();
        string dump = _holdfast.File("dump");
        try
        {
            Outcome dumped = _holdfast.Run("-o", "json", "dump", pid, "--to", dump);
            if (dumped.Status == 1 && dumped.Json.GetProperty("error").GetString() == "pipe.outside")
            {
                // The test runner's own descriptors leak into what it starts: nothing that dump could take along.
                return;
            }

            dumped.Succeeds();
            // Whoever inherited it reaps it in its own time.
            HoldfastProgram.Until(() => !Directory.Exists($"/proc/{pid}"), "its end");
            long last = HoldfastProgram.LastNumber(log);
            Assert.Equal(1, _holdfast.Run("dump", $"{Environment.ProcessId}", "--to", dump).Status);

            JsonElement restored = _holdfast.Run("-o", "json", "restore", "--from", dump, "--detach").Succeeds().Json;

            Assert.Equal(int.Parse(pid), restored.GetProperty("pid").GetInt32());
            HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > last + 2, "it goes on");
            Assert.Equal(Enumerable.Range(1, (int)HoldfastProgram.LastNumber(log)).Select(i => $"{i}"), File.ReadAllLines(log).Take((int)HoldfastProgram.LastNumber(log)));
        }
        finally
        {
            Process.Start("kill", ["-KILL", pid]).WaitForExit();
        }
    }

    [RootFact]
    public void The_demo_shows_that_the_application_went_on_and_leaves_nothing()
    {
        _holdfast.Environment["TMPDIR"] = _holdfast.Directory;

        JsonElement demo = _holdfast.Run("-o", "json", "demo").Succeeds().Json;

        Assert.True(demo.GetProperty("resumedAtLine").GetInt64() < demo.GetProperty("killedAfterLine").GetInt64());
        Assert.True(demo.GetProperty("processes").GetInt32() > 5);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_holdfast.Directory));
    }
}
