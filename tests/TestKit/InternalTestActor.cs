using Akka.Actor;

namespace Akka.TestKit;

/// <summary>The actor behind <see cref="TestKitBase.TestActor"/>.</summary>
internal sealed class InternalTestActor(EnvelopeQueue queue) : ActorBase
{
    private readonly DelegatingSupervisorStrategy _strategy = new();
    private TestActor.Ignore? _ignore;
    private AutoPilot? _autoPilot;

    protected override SupervisorStrategy SupervisorStrategy() => _strategy;

    protected override bool Receive(object message)
    {
        switch (message)
        {
            case TestActor.SetIgnore set:
                _ignore = set.Ignore;
                return true;
            case TestActor.Watch watch:
                Context.Watch(watch.Actor);
                Acknowledge();
                return true;
            case TestActor.Unwatch unwatch:
                Context.Unwatch(unwatch.Actor);
                Acknowledge();
                return true;
            case TestActor.SetAutoPilot set:
                _autoPilot = set.AutoPilot;
                return true;
            case TestActor.Spawn spawn:
                var child = spawn.Apply(Context);
                if (spawn._supervisorStrategy.HasValue)
                {
                    _strategy.Update(child, spawn._supervisorStrategy.Value);
                }

                Sender.Tell(child);
                return true;
            default:
                break;
        }

        if (_autoPilot is not null && _autoPilot is not NoAutoPilot)
        {
            var next = _autoPilot.Run(Sender, message);
            if (next is not KeepRunning)
            {
                _autoPilot = next;
            }
        }

        if (_ignore?.Invoke(message) != true)
        {
            queue.Add(new RealMessageEnvelope(message, Sender));
        }

        return true;
    }

    private void Acknowledge()
    {
        // Who only tells has no use for it.
        if (!Sender.Equals(Context.System.DeadLetters) && !Sender.Equals(Self))
        {
            Sender.Tell(new Ack());
        }
    }

    internal sealed record Ack;
}
