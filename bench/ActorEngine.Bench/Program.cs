using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Akka.Actor;
using Holdfast.ActorEngine.Bench;

// The engine's figures, beside two threads that ping-pong over channels in the same run.
// Options: --quick for a tenth of the work, --json FILE, --sqlite FILE, --postgres CONNECTION, --startup for the time of a first start only,
// --diagnose for what a tell and an ask allocate by the memory diagnoser.
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;

if (args.Contains("--diagnose"))
{
    Diagnosed.Run();
    return;
}

var jitted = System.Runtime.JitInfo.GetCompiledMethodCount();
var jitTime = System.Runtime.JitInfo.GetCompilationTime();
var cpuBefore = Environment.CpuUsage.TotalTime;
var start = Stopwatch.GetTimestamp();
var system = ActorSystem.Create("bench", "akka.loglevel = WARNING");
var startup = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
if (args.Contains("--startup"))
{
    jitted = System.Runtime.JitInfo.GetCompiledMethodCount() - jitted;
    jitTime = System.Runtime.JitInfo.GetCompilationTime() - jitTime;
    Console.WriteLine(
        $"system up in {startup:F1} ms, {(Environment.CpuUsage.TotalTime - cpuBefore).TotalMilliseconds:F1} ms of processor; {jitted} methods compiled just in time, {jitTime.TotalMilliseconds:F1} ms");
    start = Stopwatch.GetTimestamp();
    ActorSystem.Create("second", "akka.loglevel = WARNING").Dispose();
    Console.WriteLine($"a second one up and down in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F1} ms");
    system.Dispose();
    return;
}

var scale = args.Contains("--quick") ? 10 : 1;
var cases = new Cases(system);
var results = new List<Measurement>();
void Add(Measurement measurement)
{
    results.Add(measurement);
    Console.WriteLine(
        $"{measurement.Case,-44} {measurement.PerSecond,14:N0} /s {measurement.PerCpuSecond,14:N0} /cpu s {measurement.PerSecond / (results[0].PerSecond),8:F2} x {measurement.BytesPerOperation,9:F1} B");
}

Console.WriteLine($"{"case",-44} {"per second",17} {"per CPU second",21} {"ratio",10} {"allocated",11}");
Add(Measurement.Of("channels, two threads", "messages", 400_000 / scale, 5, () => Cases.ChannelPingPong(200_000 / scale)));
Add(Measurement.Of("tell ping-pong, 1 in flight", "messages", 10_000_000 / scale, 5, () => cases.PingPong(10_000_000 / scale, 1)));
Add(Measurement.Of("tell ping-pong, 100 in flight", "messages", 20_000_000 / scale, 5, () => cases.PingPong(20_000_000 / scale, 100)));
Add(Measurement.Of("fan-out to 1,000 actors", "messages", 5_000_000 / scale, 5, () => cases.FanOut(1000, 5000 / scale)));
Add(Measurement.Of("ask, one after the other", "asks", 1_000_000 / scale, 5, () => cases.Ask(1_000_000 / scale)));
Add(Measurement.Of("create, watch and stop", "actors", 100_000 / scale, 5, () => cases.CreateAndStop(100_000 / scale)));
var idle = cases.BytesPerIdleActor(100_000 / scale);
Console.WriteLine($"memory per idle actor: {idle:N0} bytes; system up in {startup:F1} ms (just-in-time compiled; --startup in a ReadyToRun build for the other)");
system.Dispose();

var sqlite = Option("--sqlite") ?? Path.Combine(Directory.CreateTempSubdirectory("holdfast-bench-").FullName, "journal.db");
foreach (var measurement in PersistCases.Run("SQLite", "SQLite.MS", $"Data Source={sqlite}", 20_000 / scale))
{
    Add(measurement);
}

if (Option("--postgres") is { } postgres)
{
    foreach (var measurement in PersistCases.Run("PostgreSQL", "PostgreSQL", postgres, 20_000 / scale))
    {
        Add(measurement);
    }
}

if (Option("--sqlite") is null)
{
    Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
    Directory.Delete(Path.GetDirectoryName(sqlite)!, recursive: true);
}

if (Option("--json") is { } json)
{
    var report = new
    {
        startupMilliseconds = startup,
        bytesPerIdleActor = idle,
        cases = results.Select(each => new { each.Case, each.Unit, each.PerSecond, each.PerCpuSecond, each.BytesPerOperation, ratioToChannels = each.PerSecond / results[0].PerSecond }),
    };
    File.WriteAllText(json, JsonSerializer.Serialize(report, JsonSerializerOptions.Web));
}
