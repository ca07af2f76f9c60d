using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Holdfast.KernelBridge;
using Holdfast.Kmod.Bench;

// Runs in a guest: bench/kmod starts it.
const int Fewer = 20;
string program = args[0];
int pairs = int.Parse(args[1], CultureInfo.InvariantCulture);
string[] cases = args.Length > 2 ? args[2].Split(',') : ["1x64", "1x512", "64x64", "64x512"];
using (Process mount = Process.Start("mount", ["-t", "tracefs", "tracefs", "/sys/kernel/tracing"]))
{
    mount.WaitForExit();
}

PtraceBridge ptrace = new();
IKernelBridge[] bridges = [ptrace, new CharDeviceBridge(ptrace)];
List<Measured> all = [];
foreach (string name in cases)
{
    string[] numbers = name.Split('x');
    string directory = Directory.CreateTempSubdirectory("kmod-bench-").FullName;
    string ready = Path.Combine(directory, "ready");
    using IRunningApplication application = ptrace.Launch(new LaunchRequest
    {
        Name = "bench", Command = [program, numbers[0], numbers[1], ready], Environment = [], WorkingDirectory = directory, StateDirectory = Directory.CreateDirectory(Path.Combine(directory, "state")).FullName,
        Detach = true, StandardStreams = [0, 1, 2],
    });
    while (!File.Exists(ready))
    {
        Thread.Sleep(20);
    }

    // The first of each has the runtime take its memory.
    foreach (IKernelBridge bridge in bridges)
    {
        _ = Checkpoints.Take(bridge, application.Target);
    }

    for (int i = 0; i < pairs; i++)
    {
        foreach (IKernelBridge bridge in bridges)
        {
            Measured measured = Checkpoints.Measure(bridge, application.Target, name);
            all.Add(measured);
            Console.Error.WriteLine(JsonSerializer.Serialize(measured, MeasuredJson.Default.Measured));
        }
    }

    application.Kill();
}

File.WriteAllText(Path.Combine(Environment.GetEnvironmentVariable("VM_OUT") ?? ".", "kmod.json"), JsonSerializer.Serialize(all, MeasuredJson.Default.ListMeasured));
Console.WriteLine("| processes x MiB | bridge | system calls | without those of waiting | in the freeze | stops by ptrace | bytes copied | freeze | checkpoint |");
Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
bool kept = true;
foreach (IGrouping<string, Measured> group in all.GroupBy(measured => measured.Case))
{
    Dictionary<string, Measured[]> by = group.GroupBy(measured => measured.Bridge).ToDictionary(measured => measured.Key, measured => measured.ToArray());
    foreach ((string bridge, Measured[] list) in by)
    {
        long Middle(Func<Measured, double> of) => (long)list.Select(of).Order().ElementAt(list.Length / 2);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"| {group.Key} | {bridge} | {Middle(m => m.SystemCalls)} | {Middle(m => m.WithoutWaiting)} | {Middle(m => m.SystemCallsInFreeze)} | {Middle(m => m.Stops)} | {Middle(m => m.Bytes)} | {Middle(m => m.FreezeMilliseconds)} ms | {Middle(m => m.Milliseconds)} ms |"));
    }

    // The middle one of the pairs'.
    double Ratio(Func<Measured, double> of) => by["ptrace"].Zip(by["device"], (ptrace, device) => of(ptrace) / of(device)).Order().ElementAt(by["ptrace"].Length / 2);
    // A start of a thread alone turns round a thousand times where the machine is busy.
    double ratio = Ratio(m => m.WithoutWaiting);
    long stops = by["device"].Sum(m => m.Stops);
    bool holds = ratio >= Fewer && stops == 0;
    kept &= holds;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {group.Key} | {(holds ? "kept" : "missed")} | {Ratio(m => m.SystemCalls):0.0} times fewer | {ratio:0.0} times fewer, {Fewer} promised | {Ratio(m => m.SystemCallsInFreeze):0.0} | {stops}, none promised | | | |"));
}

return kept ? 0 : 1;
