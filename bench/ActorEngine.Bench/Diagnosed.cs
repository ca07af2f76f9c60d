using Akka.Actor;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;

namespace Holdfast.ActorEngine.Bench;

/// <summary>What one tell and one ask allocate, by BenchmarkDotNet's memory diagnoser.</summary>
public class Diagnosed
{
    private const int Tells = 100_000;

    // So many are under way at most, so that the mailbox has its size after the first burst and does not grow in what is measured.
    private const int Burst = 500;
    private const int Asks = 10_000;

    private static readonly object Ball = new();
    private readonly ManualResetEventSlim _through = new();
    private ActorSystem _system = null!;
    private IActorRef _counter = null!;
    private IActorRef _echo = null!;

    /// <summary>Runs it in this process and writes the table to the standard output.</summary>
    public static void Run()
    {
        var artifacts = Directory.CreateTempSubdirectory("holdfast-benchmark-").FullName;
        try
        {
            BenchmarkRunner.Run<Diagnosed>(ManualConfig.CreateEmpty()
                .AddJob(Job.ShortRun.WithToolchain(InProcessNoEmitToolchain.Instance))
                .AddDiagnoser(MemoryDiagnoser.Default)
                .AddColumnProvider(DefaultColumnProviders.Instance)
                .AddLogger(ConsoleLogger.Unicode)
                .WithOptions(ConfigOptions.DisableOptimizationsValidator)
                .WithArtifactsPath(artifacts));
        }
        finally
        {
            Directory.Delete(artifacts, recursive: true);
        }
    }

    [GlobalSetup]
    public void Start()
    {
        _system = ActorSystem.Create("diagnosed", "akka.loglevel = WARNING");
        _counter = _system.ActorOf(Props.CreateBy(new Cases.Maker(() => new Counter(_through))));
        _echo = _system.ActorOf(Props.CreateBy(new Cases.Maker(() => new Echo())));
    }

    [GlobalCleanup]
    public void Stop() => _system.Dispose();

    [Benchmark(OperationsPerInvoke = Tells)]
    public void Tell()
    {
        for (var burst = 0; burst < Tells / Burst; burst++)
        {
            _through.Reset();
            for (var i = 0; i < Burst; i++)
            {
                _counter.Tell(Ball, ActorRefs.NoSender);
            }

            _through.Wait();
        }
    }

    [Benchmark(OperationsPerInvoke = Asks)]
    public async Task Ask()
    {
        for (var i = 0; i < Asks; i++)
        {
            await _echo.Ask<object>(Ball, Timeout.InfiniteTimeSpan).ConfigureAwait(false);
        }
    }

    private sealed class Counter(ManualResetEventSlim through) : UntypedActor
    {
        private int _count;

        protected override void OnReceive(object message)
        {
            if (++_count == Burst)
            {
                _count = 0;
                through.Set();
            }
        }
    }

    private sealed class Echo : UntypedActor
    {
        protected override void OnReceive(object message) => Sender.Tell(message);
    }
}
