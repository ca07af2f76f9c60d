using System.Globalization;
using Akka.Actor;
using Akka.Configuration;
using Akka.Persistence;

namespace Holdfast.ActorEngine.Bench;

/// <summary>Events stored per second: one actor with PersistAsync, and many actors with Persist.</summary>
internal static class PersistCases
{
    public static IEnumerable<Measurement> Run(string name, string provider, string connection, int events)
    {
        var config = ConfigurationFactory.ParseString(string.Create(
            CultureInfo.InvariantCulture,
            $$"""
            akka { loglevel = WARNING
              persistence.journal { plugin = "akka.persistence.journal.sql", sql { connection-string = "{{connection}}", provider-name = "{{provider}}" } }
            }
            """));
        using var system = ActorSystem.Create("persist", config);
        foreach (var (actors, label) in new[] { (1, "one actor, PersistAsync"), (100, "100 actors, Persist") })
        {
            var run = 0;
            yield return Measurement.Of($"persist, {name}, {label}", "events", events, 3, () =>
            {
                var id = $"{label}-{run++}-{Guid.NewGuid():N}";
                using var left = new CountdownEvent(actors);
                for (var i = 0; i < actors; i++)
                {
                    var each = events / actors;
                    var own = id + i;
                    system.ActorOf(Props.CreateBy(new Cases.Maker(() => new Writer(own, each, actors == 1, left)))).Tell("start");
                }

                left.Wait();
            });
        }
    }

    private sealed class Writer : ReceivePersistentActor
    {
        private int _left;

        public Writer(string id, int events, bool asynchronous, CountdownEvent done)
        {
            PersistenceId = id;
            _left = events;
            void Stored(string text)
            {
                if (--_left == 0)
                {
                    done.Signal();
                    Context.Stop(Self);
                }
                else if (!asynchronous)
                {
                    Persist(text, Stored);
                }
            }

            RecoverAny(_ => { });
            Command<string>(text =>
            {
                if (asynchronous)
                {
                    for (var i = 0; i < events; i++)
                    {
                        PersistAsync(text, Stored);
                    }
                }
                else
                {
                    Persist(text, Stored);
                }
            });
        }

        public override string PersistenceId { get; }
    }
}
