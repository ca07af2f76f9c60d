using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Nothing is left behind: neither in this process, nor on the host, after very many rounds more than after a few.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
[Collection("alone")]
public sealed class LeakTests(ITestOutputHelper output) : IDisposable
{
    private const int Settled = 10;
    private static readonly int Rounds = Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? 1000 : 100;

    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void After_many_rounds_of_checkpoint_and_restore_there_is_no_more_of_anything()
    {
        IRunningApplication application = bench.Python(
            """
            import os, socket, threading, time
            inside, outside = socket.socketpair()
            reader, writer = os.pipe()
            shared = open(os.environ['OUT'] + '/shared', 'w+b', buffering=0)
            def echo():
                while True: outside.send(inside.recv(100))
            threading.Thread(target=echo, daemon=True).start()
            if os.fork() == 0:
                while True: os.write(writer, os.read(reader, 100))
            with open(os.environ['OUT'] + '/log', 'a') as log:
                i = 0
                while True:
                    i += 1
                    os.write(writer, b'x')
                    os.read(reader, 1)
                    # They go round for ever: without a bound both ends would wait for room at last.
                    if i <= 100: outside.send(b'y')
                    bytearray(os.urandom(200000))
                    shared.seek(0); shared.write(b'%d' % i)
                    print('line', file=log, flush=True); time.sleep(0.002)
            """);
        bench.ExpectLines("log", 5);
        Counts? first = null;
        for (int round = 1; round <= Rounds; round++)
        {
            bench.Checkpoint(application);
            IRunningApplication restored = bench.Reincarnate(application);
            bench.Forget(application);
            application = restored;
            bench.ExpectLines("log", 2);
            if (round == Settled)
            {
                first = Counts.Now(application, bench.Root);
            }
        }

        Counts last = Counts.Now(application, bench.Root);
        output.WriteLine($"after {Settled} rounds: {first}");
        output.WriteLine($"after {Rounds} rounds: {last}");
        // Groups that somebody else had left behind may be swept away meanwhile.
        Assert.Equal(first! with { Memory = 0, Groups = Math.Min(first.Groups, last.Groups) }, last with { Memory = 0 });

        // Native memory breathes: what grows with the rounds would be many times this.
        Assert.True(last.Memory < first!.Memory + (32 << 20), $"{first.Memory >> 20} MiB after {Settled} rounds, {last.Memory >> 20} MiB after {Rounds}");
    }

    public void Dispose() => bench.Dispose();

    /// <summary>What there is of each kind.</summary>
    private sealed record Counts(
        int Descriptors, int Threads, int Children, int ApplicationProcesses, int ApplicationDescriptors, int ApplicationMounts, int Mounts, int Namespaces, int Groups, int TemporaryFiles, long Memory)
    {
        private static readonly string[] namespaceKinds = ["pid", "mnt", "uts", "ipc", "net", "user", "cgroup", "time"];

        public static Counts Now(IRunningApplication application, string root)
        {
            Counts? counts = null;

            // Finalisers and the pool's threads that idle: what is on its way out is no leak.
            SpaceFixture.Until(
                () =>
                {
                    // What the heap keeps for later goes back to the system, so that memory is what is in use.
                    GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                    GC.WaitForPendingFinalizers();
                    Counts? before = counts;
                    counts = Taken(application, root);
                    return counts with { Memory = 0 } == (before is null ? null : before with { Memory = 0 });
                },
                "counts that stand still");
            return counts!;
        }

        private static Counts Taken(IRunningApplication application, string root)
        {
            int own = Environment.ProcessId;
            List<int> processes = [.. ProcFs.Numbers("/proc").Where(pid => ProcFs.TryText($"/proc/{pid}/environ")?.Contains($"OUT={root}\0", StringComparison.Ordinal) == true)];
            HashSet<string> namespaces = [.. processes.Append(application.Target.RootPid).SelectMany(pid => namespaceKinds.Select(kind => ProcFs.TryLink($"/proc/{pid}/ns/{kind}") ?? kind))];
            string memory = ProcFs.Text("/proc/self/status").Split('\n').First(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
            return new Counts(
                ProcFs.Numbers("/proc/self/fd").Count, ProcFs.Threads(own).Count(tid => ProcFs.TryText($"/proc/self/task/{tid}/comm")?.StartsWith(".NET TP", StringComparison.Ordinal) == false),
                ProcFs.Threads(own).Sum(tid => (ProcFs.TryText($"/proc/self/task/{tid}/children") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries).Length),
                processes.Count, processes.Sum(pid => ProcFs.Numbers($"/proc/{pid}/fd").Count), Lines($"/proc/{application.MainPid}/mountinfo"), Lines("/proc/self/mountinfo"), namespaces.Count,
                GroupsOf(), Directory.EnumerateFileSystemEntries(root, "*", SearchOption.AllDirectories).Count(entry => !Path.GetRelativePath(root, entry).StartsWith("state", StringComparison.Ordinal)),
                long.Parse(memory.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10);
        }

        private static int Lines(string file) => ProcFs.Text(file).Count(c => c == '\n');

        /// <summary>Control groups that hold nobody: those of others hold somebody.</summary>
        private static int GroupsOf() => CgroupTree.FindMounts(File.ReadLines("/proc/self/mountinfo")).Select(mount => Path.Combine(mount, "holdfast")).Where(Directory.Exists)
            .Sum(groups => Directory.EnumerateDirectories(groups, "*", SearchOption.AllDirectories).Count(IsEmpty));

        private static bool IsEmpty(string group) => ProcFs.TryText(Path.Combine(group, "cgroup.events"))?.Contains("populated 0", StringComparison.Ordinal) == true;
    }
}
