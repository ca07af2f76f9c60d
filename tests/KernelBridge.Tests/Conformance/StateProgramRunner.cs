using Holdfast.EndToEnd.Tests.Support;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>
/// State programs through a bridge in one process, for guests in which a command line takes longer to start than a program to be captured: each is started, checkpointed,
/// ended, restored, and checks itself. Half of them, by their names, are copied while they stand, the others' memory is kept until they run again.
/// </summary>
internal static class StateProgramRunner
{
    /// <summary>All that are driven without more than the word to go, those that count seconds last.</summary>
    private static IEnumerable<string> All => StateProgram.All
        .Where(program => program is { Suite: "" or "device", Refused: false })
        .OrderBy(program => program.AboutTime)
        .SelectMany(program => program.Cases.Select(name => name.Length == 0 ? program.Name : $"{program.Name}:{name}"));

    /// <summary><c>--list</c>; or <c>device|ptrace [--intercept] BINARIES PROGRAM[:CASE]...</c>: "pass NAME", "skip NAME: why" or "fail NAME: why" for each.</summary>
    /// <returns>0 when none failed.</returns>
    public static int Run(string[] args)
    {
        if (args is ["--list"])
        {
            Console.WriteLine(string.Join('\n', All));
            return 0;
        }

        bool intercept = args[1] == "--intercept";
        string[] names = args[(intercept ? 3 : 2)..];
        int failed = 0;
        foreach (string name in names)
        {
            string outcome;
            try
            {
                outcome = Run(args[0] == "device", intercept, args[intercept ? 2 : 1], name);
            }
            catch (Exception e) when (e is BridgeException or TimeoutException or IOException or Xunit.Sdk.XunitException)
            {
                outcome = $"fail {name}: {(e is BridgeException refused ? string.Join("; ", refused.Refusals.Select(refusal => refusal.ToString()).Prepend($"{refused.Code}: {refused.Message}")) : e.Message)}";
            }

            failed += outcome.StartsWith("fail", StringComparison.Ordinal) ? 1 : 0;
            Console.WriteLine(outcome);
        }

        return failed == 0 ? 0 : 1;
    }

    private static string Run(bool device, bool intercept, string binaries, string name)
    {
        string[] words = name.Split(':', 2);
        StateProgram program = StateProgram.Named(words[0]);
        // Back with them at the end: where there are any, a check has to look into segments that nobody has attached, which shows in them.
        using HugePagePool pages = new(program.HugePages);
        PtraceBridge ptrace = new();
        using Bench bench = new(device ? new CharDeviceBridge(ptrace, name.Sum(c => c) % 2 == 0 ? 1 : PtraceBridge.DefaultHold) : ptrace);
        string[] command = [Path.Combine(binaries, words[0]), bench.Root, .. words[1..]];
        IRunningApplication application = bench.Launch(request => request with { Intercept = intercept, Environment = [.. request.Environment, "STATE_SECONDS=8", "STATE_BOUND=1200"] }, command);
        SpaceFixture.Until(() => File.Exists(bench.PathOf("ready")) || File.Exists(bench.PathOf("result")), $"{name} is ready");
        if (File.Exists(bench.PathOf("result")))
        {
            string early = bench.Lines("result")[0];
            return early.StartsWith("SKIP", StringComparison.Ordinal) ? $"skip {name}: {early}" : $"fail {name}: {early}";
        }

        // A moment that passes, such as bytes on their way, is another one for the checkpoint.
        Until(() => bench.Bridge.CheckApplication(application.Target).Where(row => row.Verdict == CheckVerdict.No).Select(row => $"{row}"));
        Taken taken = Checkpoint(bench, application, intercept, program.WritesFiles);
        if (!program.WritesFiles)
        {
            application.Kill();
        }

        bench.Restore(taken);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        SpaceFixture.Until(() => File.Exists(bench.PathOf("result")), $"{name} has a result");
        string result = File.ReadAllText(bench.PathOf("result")).Trim();
        return result == "PASS" ? $"pass {name}" : $"fail {name}: {result}";
    }

    private static Taken Checkpoint(Bench bench, IRunningApplication application, bool intercept, bool kill)
    {
        using IRendezvous? rendezvous = bench.Bridge.BeginRendezvous(application.Target);
        Assert.Equal(intercept, rendezvous is not null);
        Taken taken = Driver.Checkpoint(bench.Bridge, application.Target, kill, prepared: () => rendezvous?.Gather(new RendezvousOrder(SpaceFixture.Patience, SpaceFixture.Patience, WithoutTheLate: false), CancellationToken.None));
        rendezvous?.Release();
        return taken;
    }

    private static void Until(Func<IEnumerable<string>> obstacles)
    {
        string[] last = [];
        try
        {
            SpaceFixture.Until(() => (last = [.. obstacles()]).Length == 0, "nothing is refused");
        }
        catch (Xunit.Sdk.XunitException)
        {
            Assert.Fail(string.Join("; ", last));
        }
    }
}
