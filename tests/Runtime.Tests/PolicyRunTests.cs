using System.Diagnostics;
using System.Text.Json;

namespace Holdfast.Runtime.Tests;

/// <summary>Policies carried out on a real application.</summary>
public sealed class PolicyRunTests : IDisposable
{
    private const string Counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";

    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    private string Policy(string name, string body)
    {
        string file = _holdfast.File($"{name}.conf");
        File.WriteAllText(file, $"policies {{\n  {name} {{\n{body}\n  }}\n}}\n");
        return file;
    }

    private JsonElement Status(string name = "app") => _holdfast.Run("-o", "json", "policy", "status", name).Succeeds().Json;

    private static string[] Assigned(JsonElement status) =>
        [.. status.GetProperty("assignments").EnumerateArray().Select(a => $"{a.GetProperty("policy").GetString()} from {a.GetProperty("from").GetString()}")];

    private int Taken(string rule) => Status().GetProperty("points").EnumerateArray()
        .Count(p => p.GetProperty("serves").EnumerateArray().Any(s => s.GetProperty("rule").GetString() == rule));

    private int SupervisorPid => _holdfast.Run("-o", "json", "show", "app").Succeeds().Json.GetProperty("supervisorPid").GetInt32();

    [RootFact]
    public void A_policy_that_is_assigned_while_it_runs_is_carried_out_at_once_and_explained_and_goes_again()
    {
        _holdfast.Run("run", "--name", "app", "--detach", "--", "sh", "-c", Counter).Succeeds();
        Assert.Empty(Assigned(Status()));
        string gold = Policy("gold", "points { often { every = 2s, keep { for = 10m } } }, triggers { mine { on = administrator, at-most-every = 1h, keep { last = 1 } } }, every-point { storage { immutable-for = 1s } }");

        Assert.Equal("gold is assigned to app\n", _holdfast.Run("policy", "assign", gold, "app").Succeeds().Output);
        _holdfast.Run("policy", "trigger", "app").Succeeds();
        HoldfastProgram.Until(() => Taken("gold.often") >= 2 && Taken("gold.mine") == 1, "three points");

        Outcome held = _holdfast.Run("-o", "json", "policy", "trigger", "app", "gold.mine");
        Assert.Equal((1, "policy.trigger-held"), (held.Status, held.Json.GetProperty("error").GetString()));
        Outcome explained = _holdfast.Run("policy", "explain", "app").Succeeds();
        Assert.Contains("exists because gold.", explained.Output);
        Assert.Contains("is kept because ", explained.Output);
        Outcome plan = _holdfast.Run("policy", "plan", "--object", "app", "--next", "3").Succeeds();
        Assert.Contains("gold.often (every 2s)", plan.Output);
        Assert.Contains("keep", plan.Output);
        Assert.Contains("gold.often", _holdfast.Run("policy", "status", "app").Succeeds().Output);

        Assert.Equal(1, _holdfast.Run("policy", "unassign", "silver", "app").Status);
        _holdfast.Run("policy", "unassign", "gold", "app").Succeeds();
        Assert.Empty(Assigned(Status()));
        Assert.Contains("no policy is assigned to app", _holdfast.Run("policy", "explain", "app@1st").Succeeds().Output);
    }

    [RootFact]
    public void What_a_group_has_is_inherited_and_outlives_the_supervisor()
    {
        _holdfast.Run("policy", "assign", Policy("silver", "points { p { every = 1h, keep { for = 1d } } }"), "label:tier=gold").Succeeds();
        _holdfast.Run("run", "--name", "app", "--label", "tier=gold", "--detach", "--", "sh", "-c", Counter).Succeeds();
        Assert.Equal(["silver from label:tier=gold"], Assigned(Status()));
        _holdfast.Run("policy", "assign", Policy("bronze", "points { p { every = 2h, keep { for = 1d } } }"), $"path:{_holdfast.Directory}").Succeeds();
        Assert.Equal(["bronze from path:" + _holdfast.Directory, "silver from label:tier=gold"], Assigned(Status()));

        int supervisor = SupervisorPid;
        Process.Start("kill", ["-KILL", $"{supervisor}"]).WaitForExit();
        HoldfastProgram.Until(() => !Directory.Exists($"/proc/{supervisor}"), "the supervisor is gone");
        // Nobody supervises it: what is changed is kept, and takes effect when somebody does.
        _holdfast.Run("policy", "assign", Policy("own", "points { p { every = 2s, keep { last = 1 } } }"), "app").Succeeds();
        Assert.False(Status().GetProperty("carriedOut").GetBoolean());
        _holdfast.Run("policy", "unassign", "bronze", $"path:{_holdfast.Directory}").Succeeds();
        _holdfast.Run("run", "--adopt", "app", "--detach").Succeeds();

        HoldfastProgram.Until(() => Taken("own.p") > 0, "a point of its own");
        Assert.Equal(["own from direct", "silver from label:tier=gold"], Assigned(Status()));
        Outcome all = _holdfast.Run("policy", "status").Succeeds();
        Assert.Contains("label:tier=gold", all.Output);
    }

    [RootFact]
    public void What_this_version_cannot_do_is_refused_before_the_application_starts()
    {
        string mark = _holdfast.File("started");
        foreach ((string body, string said) in ((string, string)[])[
            ("points { p { every = 1h, copies { to { nas { lag = 1h } } } } }", "nas is no device"),
            ("points { p { every = 1h, copies { at-least = 2 } } }", "devices are named"),
            ("points { p { every = 1h, copies { to { \"https://localhost:1\" {} } } } }", "certificates"),
            ("points { p { every = 1h, consistency = volumes } }", "volumes"),
            ("points { p { every = 1h, storage { encryption = required } } }", "encrypt"),
            ("points { p { every = 1x } }", "error")])
        {
            Outcome outcome = _holdfast.Run("run", "--policy", Policy("gold", body), "--", "touch", mark);

            Assert.Equal(125, outcome.Status);
            Assert.Matches(@"^holdfast: [^\n]*gold\.conf:\d+: gold\.[a-z]+: error: ", outcome.Errors);
            Assert.Contains(said, outcome.Errors);
        }

        Assert.False(File.Exists(mark));
        Assert.Equal(1, _holdfast.Run("policy", "assign", Policy("ok", "points { p { every = 1h } }"), "nobody").Status);
    }

    [RootFact]
    public void A_policy_that_asks_for_volumes_is_carried_out_where_there_are_some()
    {
        string volume = Directory.CreateDirectory(_holdfast.File("volume")).FullName;
        string gold = Policy("gold", "points { often { every = 1s, consistency = volumes } }");
        _holdfast.Run("run", "--name", "app", "--volume", volume, "--policy", gold, "--detach", "--", "sh", "-c", Counter).Succeeds();
        HoldfastProgram.Until(() => Taken("gold.often") > 0, "a point with volumes");
        _holdfast.Run("kill", "app").Succeeds();
        Assert.Contains(volume, _holdfast.Run("inspect", "app").Succeeds().Output);

        _holdfast.Run("run", "--name", "other", "--detach", "--", "sh", "-c", Counter).Succeeds();
        Assert.Contains("--volume", _holdfast.Run("policy", "assign", gold, "other").Errors);
        Assert.Contains("--volume", _holdfast.Run("policy", "assign", gold, "label:a=b").Errors);
        _holdfast.Run("kill", "other").Succeeds();
    }

    [RootFact]
    public void Copies_follow_the_points_and_stay_on_the_device_as_long_as_its_rules_say()
    {
        string copies = _holdfast.File("copies");
        string gold = Policy("gold", $$"""
            points { often { every = 1s, keep { last = 2 }, copies { to { "{{copies}}" { lag = 1h } } } } }
            limits { bandwidth = 200MiB/s }
            """);
        _holdfast.Run("run", "--name", "app", "--policy", gold, "--detach", "--", "sh", "-c", Counter).Succeeds();
        HoldfastProgram.Until(() => Status().GetProperty("snapshotsRemoved").GetInt32() >= 2, "two snapshots are removed");
        _holdfast.Run("policy", "unassign", "gold", "app").Succeeds();
        _holdfast.Run("kill", "app").Succeeds();

        IReadOnlyList<JsonElement> there = _holdfast.Run("--store", copies, "-o", "json", "snapshots", "app").Succeeds().JsonLines;
        // The last two of the rule, and one that came between the last look and the end.
        Assert.InRange(there.Count, 2, 3);
        _holdfast.Run("--store", copies, "verify").Succeeds();
        _holdfast.Run("--store", copies, "restore", "app", "--detach").Succeeds();
        _holdfast.Run("--store", copies, "kill", "app").Succeeds();
    }

    [RootFact]
    public void An_immutable_snapshot_is_not_forgotten()
    {
        string gold = Policy("gold", "points { often { every = 1h, keep { for = 1d } } }, every-point { storage { immutable-for = 1h } }");
        _holdfast.Run("run", "--name", "app", "--policy", gold, "--detach", "--", "sh", "-c", Counter).Succeeds();
        _holdfast.Run("checkpoint", "app").Succeeds();

        Outcome forget = _holdfast.Run("-o", "json", "forget", "app@1st");

        Assert.Equal((1, "snapshot.immutable"), (forget.Status, forget.Json.GetProperty("error").GetString()));
        _holdfast.Run("kill", "app").Succeeds();
        Assert.Equal(1, _holdfast.Run("forget", "app", "--all").Status);
    }

    [RootFact]
    public void Triggers_fire_by_what_the_application_and_its_surroundings_do()
    {
        File.WriteAllText(_holdfast.File("holdfast.conf"), "holdfast.policies.watch = 200ms");
        _holdfast.Environment["HOLDFAST_CONFIG"] = _holdfast.File("holdfast.conf");
        string watched = _holdfast.File("watched");
        string flag = _holdfast.File("flag");
        File.WriteAllText(watched, "1");
        string gold = Policy("gold", $$"""
            keep { last = 9 }
            triggers {
              busy    { on = cpu, above = 5%, at-most-every = 1h }
              grown   { on = memory-change, above = 8MiB, at-most-every = 1h }
              changed { on = configuration-change, path = "{{watched}}", at-most-every = 1h }
              probe   { on = program, run = "test -e {{flag}}", poll = 1s, at-most-every = 1h }
            }
            """);
        // It grows when all other points are there: what it grew by before a point is in that point.
        string work = $"while [ ! -e {flag} ]; do sleep 0.05; done; while [ ! -e {flag}.grow ]; do :; done; x=$(head -c 30000000 /dev/zero | tr '\\0' x); while :; do :; done";
        _holdfast.Run("run", "--name", "app", "--policy", gold, "--detach", "--", "bash", "-c", work).Succeeds();
        HoldfastProgram.Until(() => Status().GetProperty("watched").GetArrayLength() == 4, "every trigger is watched");
        Assert.Equal(0, Status().GetProperty("pointsTaken").GetInt32());

        File.WriteAllText(watched, "22");
        HoldfastProgram.Until(() => Taken("gold.changed") == 1, "the file");
        Assert.Equal(0, Taken("gold.probe"));
        File.WriteAllText(flag, "");
        HoldfastProgram.Until(() => Taken("gold.probe") == 1, "the program");
        HoldfastProgram.Until(() => Taken("gold.busy") == 1, "the processor");
        File.WriteAllText($"{flag}.grow", "");
        HoldfastProgram.Until(() => Taken("gold.grown") == 1, "the memory");
        Assert.Empty(Status().GetProperty("troubles").EnumerateArray());
    }
}
