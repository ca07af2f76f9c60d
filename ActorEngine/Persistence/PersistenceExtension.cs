using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Configuration;
using Akka.Util;

namespace Akka.Persistence;

/// <summary>Gives a system its <see cref="PersistenceExtension"/>.</summary>
public class Persistence : ExtensionIdProvider<PersistenceExtension>
{
    /// <summary>The usual instance.</summary>
    public static Persistence Instance { get; } = new();

    /// <inheritdoc/>
    public override PersistenceExtension CreateExtension(ExtendedActorSystem system)
    {
        system.Settings.InjectTopLevelFallback(DefaultConfig());
        return new PersistenceExtension(system);
    }

    /// <summary>The defaults of every key below <c>akka.persistence</c>.</summary>
    public static Config DefaultConfig() => ConfigurationFactory.ParseString(
        """
        akka.persistence {
          max-concurrent-recoveries = 50
          internal-stash-overflow-strategy = "Akka.Persistence.ThrowExceptionConfigurator"
          journal-plugin-fallback {
            circuit-breaker { max-failures = 10, call-timeout = 20s, reset-timeout = 60s }
            recovery-event-timeout = 30s
            max-message-batch-size = 200
          }
          snapshot-store-plugin-fallback {
            circuit-breaker { max-failures = 5, call-timeout = 20s, reset-timeout = 60s }
          }
          journal {
            plugin = "akka.persistence.journal.inmem"
            inmem.class = "Akka.Persistence.Journal.MemoryJournal, Akka.Persistence"
            sql {
              class = "Akka.Persistence.Sql.Journal.SqlWriteJournal, Akka.Persistence.Sql"
              connection-string = ""
              provider-name = ""
            }
          }
          snapshot-store {
            plugin = "akka.persistence.snapshot-store.inmem"
            inmem.class = "Akka.Persistence.Snapshot.MemorySnapshotStore, Akka.Persistence"
            sql {
              class = "Akka.Persistence.Sql.Snapshot.SqlSnapshotStore, Akka.Persistence.Sql"
              connection-string = ""
              provider-name = ""
            }
          }
          no-snapshot-store.class = "Akka.Persistence.Snapshot.NoSnapshotStore, Akka.Persistence"
        }
        """);
}

/// <summary>The journals and snapshot stores of a system.</summary>
public class PersistenceExtension : IExtension
{
    private readonly ConcurrentDictionary<string, Lazy<JournalPlugin>> _journals = new();
    private readonly ConcurrentDictionary<string, Lazy<SnapshotPlugin>> _snapshots = new();
    private readonly ExtendedActorSystem _system;

    /// <summary>Reads the settings.</summary>
    public PersistenceExtension(ExtendedActorSystem system)
    {
        _system = system;
        var config = system.Settings.Config.GetConfig("akka.persistence");
        Permits = new RecoveryPermits(config.GetInt("max-concurrent-recoveries", 50));
        DefaultInternalStashOverflowStrategy = config.GetString("internal-stash-overflow-strategy").Split(',')[0] switch
        {
            "Akka.Persistence.ThrowExceptionConfigurator" => ThrowOverflowExceptionStrategy.Instance,
            "Akka.Persistence.DiscardConfigurator" => DiscardToDeadLetterStrategy.Instance,
            var name => TypeResolver.Create<IStashOverflowStrategyConfigurator>(name, "akka.persistence.internal-stash-overflow-strategy").Create(config),
        };
        system.RegisterOnTermination(Close);
    }

    /// <summary>What happens to a command for which there is no room.</summary>
    public IStashOverflowStrategy DefaultInternalStashOverflowStrategy { get; }

    internal RecoveryPermits Permits { get; }

    /// <summary>The persistence id of an actor that has none of its own: its path.</summary>
    public string PersistenceId(IActorRef actor) => actor.Path.ToStringWithoutAddress();

    internal JournalPlugin JournalOf(string pluginId)
    {
        var id = string.IsNullOrEmpty(pluginId) ? Setting("akka.persistence.journal.plugin") : pluginId;
        return _journals.GetOrAdd(id, key => new Lazy<JournalPlugin>(() =>
        {
            var section = Section(key, "akka.persistence.journal-plugin-fallback");
            var name = section.GetString("class", "").Split(',')[0].Trim();
            IEventStore store = name switch
            {
                "Akka.Persistence.Journal.MemoryJournal" or "Akka.Persistence.Journal.SharedMemoryJournal" => new MemoryStore(),
                "Akka.Persistence.Sql.Journal.SqlWriteJournal" => new SqlStore(section),
                _ => TypeResolver.Create<IEventStore>(name, key + ".class", section),
            };
            return new JournalPlugin(_system, store, section);
        })).Value;
    }

    internal SnapshotPlugin SnapshotsOf(string pluginId)
    {
        var id = string.IsNullOrEmpty(pluginId) ? Setting("akka.persistence.snapshot-store.plugin") : pluginId;
        return _snapshots.GetOrAdd(id, key => new Lazy<SnapshotPlugin>(() =>
        {
            var section = Section(key, "akka.persistence.snapshot-store-plugin-fallback");
            var name = section.GetString("class", "").Split(',')[0].Trim();
            ISnapshotStorage? store = name switch
            {
                "Akka.Persistence.Snapshot.MemorySnapshotStore" => new MemoryStore(),
                "Akka.Persistence.Sql.Snapshot.SqlSnapshotStore" => new SqlStore(section),
                "Akka.Persistence.Snapshot.NoSnapshotStore" => null,
                _ => TypeResolver.Create<ISnapshotStorage>(name, key + ".class", section),
            };
            return new SnapshotPlugin(_system, store, section);
        })).Value;
    }

    private string Setting(string path) => _system.Settings.Config.GetString(path) is { Length: > 0 } value
        ? value
        : throw new ConfigurationException($"default plug-in is not configured, see '{path}'");

    private Config Section(string id, string fallback)
    {
        var config = _system.Settings.Config;
        var section = config.GetConfig(id) ?? throw new ConfigurationException($"persistence plug-in '{id}' has no section");
        return section.WithFallback(config.GetConfig(fallback) ?? Config.Empty);
    }

    private void Close()
    {
        var closing = _journals.Values.Where(plugin => plugin.IsValueCreated).Select(plugin => plugin.Value.CloseAsync())
            .Concat(_snapshots.Values.Where(plugin => plugin.IsValueCreated).Select(plugin => plugin.Value.CloseAsync()));
        Task.WhenAll(closing).Wait(TimeSpan.FromSeconds(10));
    }
}

/// <summary>Lets so many actors recover at the same time; the others wait for their turn.</summary>
internal sealed class RecoveryPermits(int limit)
{
    private readonly Queue<(IActorRef Actor, int Instance)> _waiting = new();
    private readonly HashSet<(IActorRef Actor, int Instance)> _holders = [];
    private readonly Lock _gate = new();

    public void Request(IActorRef actor, int instance)
    {
        lock (_gate)
        {
            if (_holders.Count >= limit)
            {
                _waiting.Enqueue((actor, instance));
                return;
            }

            _holders.Add((actor, instance));
        }

        actor.Tell(new RecoveryPermitGranted(instance), ActorRefs.NoSender!);
    }

    /// <summary>Gives a permit back, or the place in the queue.</summary>
    public void Release(IActorRef actor, int instance)
    {
        (IActorRef Actor, int Instance) next;
        lock (_gate)
        {
            if (!_holders.Remove((actor, instance)))
            {
                for (var i = _waiting.Count; i > 0; i--)
                {
                    var each = _waiting.Dequeue();
                    if (each != (actor, instance))
                    {
                        _waiting.Enqueue(each);
                    }
                }

                return;
            }

            if (!_waiting.TryDequeue(out next))
            {
                return;
            }

            _holders.Add(next);
        }

        next.Actor.Tell(new RecoveryPermitGranted(next.Instance), ActorRefs.NoSender!);
    }
}
