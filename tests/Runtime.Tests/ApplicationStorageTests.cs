using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Holdfast.Runtime.Tests;

/// <summary>How an application's checkpoints are stored, and its present state as an end of a difference and of a migration.</summary>
public sealed class ApplicationStorageTests : IDisposable
{
    /// <summary>Some megabytes that do not compress and do not change, and a number that does.</summary>
    // It waits without a process of its own: one that bash had just begun, before it executes sleep, would be a copy of all its memory.
    private const string Counter = "x=$(head -c 6000000 /dev/urandom | base64 -w 0); i=0; while :; do i=$((i+1)); echo $i; "
        + "end=$((${EPOCHREALTIME/./}+20000)); while ((${EPOCHREALTIME/./}<end)); do :; done; done";

    private readonly HoldfastProgram _holdfast = new();

    public void Dispose() => _holdfast.Dispose();

    private void Start(string log, params string[] options)
    {
        _holdfast.Run([.. options, "run", "--name", "app", "--detach", "--log", log, "--", "bash", "-c", Counter]).Succeeds();
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > 3, "numbers");
    }

    /// <summary>What the device has given for packs and manifests; a pack has holes.</summary>
    private long Allocated()
    {
        using Process du = Process.Start(new ProcessStartInfo("du", ["-sk", $"{_holdfast.Store}/packs", $"{_holdfast.Store}/objects"]) { RedirectStandardOutput = true })!;
        return du.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Sum(l => long.Parse(l.Split('\t')[0]) * 1024);
    }

    [RootFact]
    public void What_did_not_change_is_stored_once_and_the_bytes_told_are_those_on_disk()
    {
        Start(_holdfast.File("log"));
        long first = _holdfast.Run("-o", "json", "checkpoint", "app").Succeeds().Json.GetProperty("bytesStored").GetInt64();
        long between = Allocated();
        JsonElement second = _holdfast.Run("-o", "json", "checkpoint", "app").Succeeds().Json;
        long grown = Allocated() - between;

        Assert.True(first > 6_000_000, $"{first}");
        Assert.InRange(second.GetProperty("bytesStored").GetInt64(), 1, first / 4);
        Assert.InRange(between - first, -20_000, 40_000);
        Assert.InRange(grown - second.GetProperty("bytesStored").GetInt64(), -20_000, 40_000);
        _holdfast.Run("kill", "app").Succeeds();
        _holdfast.Run("forget", "app@1st").Succeeds();
        _holdfast.Run("gc").Succeeds();
        long last = HoldfastProgram.LastNumber(_holdfast.File("log"));
        _holdfast.Run("restore", "app", "--detach", "--files", "truncate").Succeeds();
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(_holdfast.File("log")) > last, "it goes on with what the first had stored");
        _holdfast.Run("kill", "app").Succeeds();
    }

    [RootFact]
    public void The_present_state_is_compared_and_moved_without_a_snapshot_being_kept()
    {
        string log = _holdfast.File("log");
        Start(log);
        _holdfast.Run("checkpoint", "app").Succeeds();

        JsonElement difference = _holdfast.Run("-o", "json", "diff", "app", "live:app").Succeeds().Json;
        Assert.True(difference.GetProperty("bytesChanged").GetInt64() + difference.GetProperty("bytesAdded").GetInt64() is > 0 and < 3_000_000, difference.ToString());
        Assert.Contains(difference.GetProperty("streams").EnumerateArray(), s => s.GetProperty("stream").GetString()!.StartsWith("mem/") && s.GetProperty("bytesSame").GetInt64() > 6_000_000);
        IReadOnlyList<JsonElement> sent = _holdfast.Run("-o", "json", "migrate", "app", "--to", _holdfast.File("other"), "--live").Succeeds().JsonLines;
        Assert.Equal(2, sent[^1].GetProperty("snapshots").GetInt32());
        Assert.True(sent[1].GetProperty("bytesSent").GetInt64() is > 0 and < 3_000_000, string.Join('\n', sent));
        Assert.Single(_holdfast.Run("-o", "json", "snapshots", "app").Succeeds().JsonLines);
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(_holdfast.Store, "trash")));

        _holdfast.Run("kill", "app").Succeeds();
        long last = HoldfastProgram.LastNumber(log);
        _holdfast.Run("--store", _holdfast.File("other"), "restore", "app", "--detach", "--files", "truncate").Succeeds();
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(log) > last, "it goes on from where the other store has it");
        _holdfast.Run("--store", _holdfast.File("other"), "kill", "app").Succeeds();
        string[] numbers = File.ReadAllLines(log);
        Assert.Equal(Enumerable.Range(1, numbers.Length).Select(n => $"{n}"), numbers);
    }

    [RootFact]
    public void Checkpoints_are_compressed_and_encrypted_as_configured()
    {
        _holdfast.Run("new-key", _holdfast.File("key")).Succeeds();
        string configuration = _holdfast.File("own.conf");
        File.WriteAllText(configuration, $"holdfast {{ store.key-file = \"{_holdfast.File("key")}\", checkpoint.compression = auto }}");
        _holdfast.Environment["HOLDFAST_CONFIG"] = configuration;
        _holdfast.Environment["MARK"] = "a-secret-of-the-application";
        Start(_holdfast.File("log"));
        JsonElement taken = _holdfast.Run("-o", "json", "checkpoint", "app").Succeeds().Json;
        _holdfast.Run("kill", "app").Succeeds();

        Assert.InRange(taken.GetProperty("bytesStored").GetInt64(), 4_000_000, taken.GetProperty("bytesScanned").GetInt64() * 9 / 10);
        foreach (string pack in Directory.EnumerateFiles(Path.Combine(_holdfast.Store, "packs")))
        {
            Assert.DoesNotContain("a-secret-of-the-application", Encoding.Latin1.GetString(File.ReadAllBytes(pack)));
        }

        _holdfast.Run("verify").Succeeds();
        long last = HoldfastProgram.LastNumber(_holdfast.File("log"));
        _holdfast.Run("restore", "app", "--detach", "--files", "truncate").Succeeds();
        HoldfastProgram.Until(() => HoldfastProgram.LastNumber(_holdfast.File("log")) > last, "it goes on");
        _holdfast.Environment.Remove("HOLDFAST_CONFIG");
        Assert.Equal("store.key", _holdfast.Run("-o", "json", "snapshots", "app").Json.GetProperty("error").GetString());
        _holdfast.Environment["HOLDFAST_CONFIG"] = configuration;
        _holdfast.Run("kill", "app").Succeeds();
    }
}
