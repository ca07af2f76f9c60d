using System.Collections.Concurrent;
using Akka.Configuration;
using Akka.Event;

namespace Akka.Actor;

/// <summary>Stops a system in phases, each with its tasks and its time-out. Phases and their order come from <c>akka.coordinated-shutdown.phases</c>.</summary>
public sealed class CoordinatedShutdown : IExtension
{
    /// <summary>Before connections are refused.</summary>
    public const string PhaseBeforeServiceUnbind = "before-service-unbind";

    /// <summary>No more connections.</summary>
    public const string PhaseServiceUnbind = "service-unbind";

    /// <summary>Requests are finished.</summary>
    public const string PhaseServiceRequestsDone = "service-requests-done";

    /// <summary>Services stop.</summary>
    public const string PhaseServiceStop = "service-stop";

    /// <summary>Before the node leaves the cluster.</summary>
    public const string PhaseBeforeClusterShutdown = "before-cluster-shutdown";

    /// <summary>Shards are handed over.</summary>
    public const string PhaseClusterShardingShutdownRegion = "cluster-sharding-shutdown-region";

    /// <summary>The node leaves.</summary>
    public const string PhaseClusterLeave = "cluster-leave";

    /// <summary>Singletons are handed over.</summary>
    public const string PhaseClusterExiting = "cluster-exiting";

    /// <summary>The others know.</summary>
    public const string PhaseClusterExitingDone = "cluster-exiting-done";

    /// <summary>The cluster part stops.</summary>
    public const string PhaseClusterShutdown = "cluster-shutdown";

    /// <summary>Before the end.</summary>
    public const string PhaseBeforeActorSystemTerminate = "before-actor-system-terminate";

    /// <summary>The end.</summary>
    public const string PhaseActorSystemTerminate = "actor-system-terminate";

    private readonly ActorSystemImpl _system;
    private readonly Dictionary<string, Phase> _phases;
    private readonly string[] _order;
    private readonly Dictionary<string, List<(string Name, Func<Task<Done>> Task)>> _tasks = [];
    private readonly TaskCompletionSource<Done> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Reason? _reason;

    internal CoordinatedShutdown(ActorSystemImpl system)
    {
        _system = system;
        var config = system.Settings.Config.GetConfig("akka.coordinated-shutdown");
        var defaultTimeout = config.GetTimeSpan("default-phase-timeout");
        _phases = (config.GetConfig("phases") ?? Config.Empty).AsEnumerable().ToDictionary(
            pair => pair.Key,
            pair =>
            {
                var section = config.GetConfig("phases.\"" + pair.Key + "\"") ?? Config.Empty;
                return new Phase(
                    [.. section.GetStringList("depends-on")],
                    section.GetTimeSpan("timeout", defaultTimeout, false),
                    section.GetBoolean("recover", true),
                    section.GetBoolean("enabled", true));
            });
        _order = Sort(_phases);
    }

    /// <summary>The system.</summary>
    public ExtendedActorSystem System => _system;

    /// <summary>Why it was run; null before that.</summary>
    public Reason ShutdownReason => Volatile.Read(ref _reason)!;

    /// <summary>The sum of the time-outs of the phases that are enabled.</summary>
    public TimeSpan TotalTimeout => _phases.Values.Where(phase => phase.Enabled).Aggregate(TimeSpan.Zero, (sum, phase) => sum + phase.Timeout);

    /// <summary>The one of a system.</summary>
    public static CoordinatedShutdown Get(ActorSystem sys) => (CoordinatedShutdown)sys.RegisterExtension(new CoordinatedShutdownExtension());

    /// <summary>How long a phase may take.</summary>
    /// <exception cref="ArgumentException">There is no such phase.</exception>
    public TimeSpan Timeout(string phase) => _phases.TryGetValue(phase, out var found) ? found.Timeout : throw new ArgumentException($"Unknown phase [{phase}]. All phases must be defined in configuration");

    /// <summary>Adds a task to a phase. The tasks of a phase run beside each other; the next phase waits for all of them or its time-out.</summary>
    /// <exception cref="ArgumentException">There is no such phase, or the name is empty.</exception>
    public void AddTask(string phase, string taskName, Func<Task<Done>> task)
    {
        if (!_phases.ContainsKey(phase))
        {
            throw new ConfigurationException($"Unknown phase [{phase}], known phases [{string.Join(",", _phases.Keys)}]. All phases (along with their optional dependencies) must be defined in configuration.");
        }

        if (string.IsNullOrEmpty(taskName))
        {
            throw new ArgumentException("Set a task name when adding tasks to the Coordinated Shutdown. Try to use unique, self-explanatory names.", nameof(taskName));
        }

        lock (_tasks)
        {
            if (!_tasks.TryGetValue(phase, out var tasks))
            {
                _tasks[phase] = tasks = [];
            }

            tasks.Add((taskName, task));
        }
    }

    /// <summary>Runs the phases, from the first or from <paramref name="fromPhase"/> on. Only the first call does anything; all return the same task.</summary>
    public Task<Done> Run(Reason reason, string? fromPhase = null)
    {
        if (Interlocked.CompareExchange(ref _reason, reason, null) is null)
        {
            _system.Log.Debug("Performing phases of coordinated shutdown because of {0}", reason);
            var start = fromPhase is null ? 0 : Array.IndexOf(_order, fromPhase);
            _ = RunPhases(_order.AsMemory(Math.Max(start, 0)));
        }

        return _done.Task;
    }

    private async Task RunPhases(ReadOnlyMemory<string> phases)
    {
        // Not on the caller's stack: it may be an actor that the phases wait for.
        await Task.Yield();
        try
        {
            for (var i = 0; i < phases.Length; i++)
            {
                await RunPhase(phases.Span[i]).ConfigureAwait(false);
            }

            _done.TrySetResult(Done.Instance);
        }
        catch (Exception e)
        {
            _system.Log.Error(e, "Coordinated shutdown was given up");
            _done.TrySetException(e);
        }
    }

    private async Task RunPhase(string name)
    {
        var phase = _phases[name];
        (string Name, Func<Task<Done>> Task)[] tasks;
        lock (_tasks)
        {
            tasks = _tasks.TryGetValue(name, out var found) ? [.. found] : [];
        }

        if (!phase.Enabled)
        {
            if (tasks.Length > 0)
            {
                _system.Log.Info("Phase [{0}] disabled through configuration, skipping [{1}] tasks.", name, tasks.Length);
            }
        }
        else if (tasks.Length > 0)
        {
            _system.Log.Debug("Performing phase [{0}] with [{1}] tasks", name, tasks.Length);
            var all = Task.WhenAll(tasks.Select(task => RunTask(name, task.Name, task.Task, phase.Recover)));
            try
            {
                await all.WaitAsync(phase.Timeout).ConfigureAwait(false);
            }
            catch (TimeoutException) when (phase.Recover)
            {
                _system.Log.Warning("Coordinated shutdown phase [{0}] timed out after {1}", name, phase.Timeout);
            }
            catch (TimeoutException)
            {
                throw new TimeoutException($"Coordinated shutdown phase [{name}] timed out after {phase.Timeout}");
            }
        }

        if (name == PhaseActorSystemTerminate && _system.Settings.CoordinatedShutdownTerminateActorSystem)
        {
            await _system.FinalTerminate().WaitAsync(phase.Timeout).ConfigureAwait(false);
        }
    }

    private async Task RunTask(string phase, string name, Func<Task<Done>> task, bool recover)
    {
        try
        {
            await task().ConfigureAwait(false);
        }
        catch (Exception e) when (recover)
        {
            _system.Log.Warning("Task [{0}] failed in phase [{1}]: {2}", name, phase, e);
        }
    }

    private static string[] Sort(Dictionary<string, Phase> phases)
    {
        var sorted = new List<string>();
        var state = new Dictionary<string, bool>();
        foreach (var name in phases.Keys.Order(StringComparer.Ordinal))
        {
            Visit(name);
        }

        return [.. sorted];

        void Visit(string name)
        {
            if (state.TryGetValue(name, out var finished))
            {
                if (!finished)
                {
                    throw new ArgumentException($"Cycle detected in graph of phases. It must be a DAG. Phase [{name}] depends transitively on itself.");
                }

                return;
            }

            state[name] = false;
            if (phases.TryGetValue(name, out var phase))
            {
                foreach (var needed in phase.DependsOn)
                {
                    Visit(needed);
                }

                sorted.Add(name);
            }

            state[name] = true;
        }
    }

    private sealed record Phase(string[] DependsOn, TimeSpan Timeout, bool Recover, bool Enabled);

    /// <summary>Why a system stops.</summary>
    public abstract class Reason
    {
        /// <summary>The exit code that goes with it.</summary>
        public abstract int ExitCode { get; }
    }

    /// <summary>No reason was given.</summary>
    public class UnknownReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new UnknownReason();

        private UnknownReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => 0;
    }

    /// <summary><see cref="ActorSystem.Terminate"/> was called.</summary>
    public class ActorSystemTerminateReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new ActorSystemTerminateReason();

        private ActorSystemTerminateReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => 0;
    }

    /// <summary>The process ends.</summary>
    public class ClrExitReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new ClrExitReason();

        private ClrExitReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => 0;
    }

    /// <summary>The node was declared down.</summary>
    public class ClusterDowningReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new ClusterDowningReason();

        private ClusterDowningReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => -1;
    }

    /// <summary>The node could not join the cluster.</summary>
    public class ClusterJoinUnsuccessfulReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new ClusterJoinUnsuccessfulReason();

        private ClusterJoinUnsuccessfulReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => -1;
    }

    /// <summary>The node leaves the cluster.</summary>
    public class ClusterLeavingReason : Reason
    {
        /// <summary>The only instance.</summary>
        public static readonly Reason Instance = new ClusterLeavingReason();

        private ClusterLeavingReason()
        {
        }

        /// <inheritdoc/>
        public override int ExitCode => 0;
    }
}

/// <summary>Makes <see cref="CoordinatedShutdown"/>.</summary>
public sealed class CoordinatedShutdownExtension : ExtensionIdProvider<CoordinatedShutdown>
{
    /// <inheritdoc/>
    public override CoordinatedShutdown CreateExtension(ExtendedActorSystem system)
    {
        var impl = (ActorSystemImpl)system;
        var shutdown = new CoordinatedShutdown(impl);
        if (impl.Settings.Config.GetBoolean("akka.coordinated-shutdown.run-by-clr-shutdown-hook"))
        {
            EventHandler hook = (_, _) =>
            {
                if (!impl.WhenTerminated.IsCompleted)
                {
                    shutdown.Run(CoordinatedShutdown.ClrExitReason.Instance).Wait(shutdown.TotalTimeout);
                }
            };
            AppDomain.CurrentDomain.ProcessExit += hook;
            impl.RegisterOnTermination(() => AppDomain.CurrentDomain.ProcessExit -= hook);
        }

        return shutdown;
    }
}
