using Akka.Actor;
using Akka.Configuration;
using Akka.Persistence;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>The process that the tests kill: actors that store numbers as fast as they can and say on the standard output what is acknowledged.</summary>
internal static class KilledChild
{
    public static async Task<int> Main(string[] arguments)
    {
        if (arguments is not ["store", var configuration])
        {
            Console.Error.WriteLine("run by the tests only");
            return 64;
        }

        using var system = ActorSystem.Create("child", ConfigurationFactory.ParseString(File.ReadAllText(configuration)));
        for (var i = 0; i < 3; i++)
        {
            var id = "counter-" + i;
            system.ActorOf(Props.Create(() => new Counter(id)), id).Tell("go");
        }

        await system.WhenTerminated;
        return 0;
    }

    private sealed class Counter : ReceivePersistentActor
    {
        private readonly Random _random = new();
        private long _last;

        public Counter(string id)
        {
            PersistenceId = id;
            Recover<SnapshotOffer>(offer => _last = (long)offer.Snapshot);
            Recover<long>(number =>
            {
                if (number != _last + 1)
                {
                    Say($"broken {id}: {number} after {_last}");
                }

                _last = number;
            });
            Recover<RecoveryCompleted>(_ => Say($"recovered {id} {_last}"));
            Command<string>(_ =>
            {
                switch (_random.Next(4))
                {
                    case 0:
                        PersistAll(Enumerable.Range(1, 3).Select(step => _last + step).ToArray(), Apply);
                        break;
                    case 1:
                        PersistAsync(_last + 1, Apply);
                        PersistAsync(_last + 2, Apply);
                        DeferAsync("", _ => { });
                        break;
                    default:
                        Persist(_last + 1, Apply);
                        break;
                }

                DeferAsync("go", again => Self.Tell(again));
            });
            Command<SaveSnapshotSuccess>(saved =>
            {
                DeleteMessages(saved.Metadata.SequenceNr - 10);
                DeleteSnapshots(new SnapshotSelectionCriteria(saved.Metadata.SequenceNr - 1));
            });
            CommandAny(_ => { });
        }

        public override string PersistenceId { get; }

        private void Apply(long number)
        {
            if (number != _last + 1)
            {
                Say($"broken {PersistenceId}: {number} applied after {_last}");
            }

            _last = number;
            Say($"ack {PersistenceId} {number}");
            if (number % 50 == 0)
            {
                SaveSnapshot(_last);
            }
        }

        private static void Say(string line)
        {
            lock (Console.Out)
            {
                Console.Out.WriteLine(line);
                Console.Out.Flush();
            }
        }

        protected override void OnPersistFailure(Exception cause, object @event, long sequenceNr) => Say($"broken {PersistenceId}: {cause.Message}");

        protected override void OnRecoveryFailure(Exception reason, object message) => Say($"broken {PersistenceId}: {reason.Message}");
    }
}
