using Akka.Actor;
using Akka.Util;

namespace Akka.TestKit;

/// <summary>What a test actor understands itself; everything else goes to the test.</summary>
public static class TestActor
{
    /// <summary>Whether a message is none of the test's business.</summary>
    public delegate bool Ignore(object message);

    public static AutoPilot KeepRunning => TestKit.KeepRunning.Instance;

    public static AutoPilot NoAutoPilot => TestKit.NoAutoPilot.Instance;

    public static NullMessageEnvelope NullMessage => NullMessageEnvelope.Instance;

    public class SetIgnore : INoSerializationVerificationNeeded
    {
        public SetIgnore(Ignore ignore) => Ignore = ignore;

        public Ignore Ignore { get; }
    }

    public class Watch : INoSerializationVerificationNeeded
    {
        public Watch(IActorRef actorToWatch) => Actor = actorToWatch;

        public IActorRef Actor { get; }
    }

    public class Unwatch : INoSerializationVerificationNeeded
    {
        public Unwatch(IActorRef actorToUnwatch) => Actor = actorToUnwatch;

        public IActorRef Actor { get; }
    }

    public class SetAutoPilot : INoSerializationVerificationNeeded
    {
        public SetAutoPilot(AutoPilot autoPilot) => AutoPilot = autoPilot;

        public AutoPilot AutoPilot { get; }
    }

    public class Spawn : INoSerializationVerificationNeeded
    {
        public readonly Props _props;

        public readonly Option<string> _name;

        public readonly Option<SupervisorStrategy> _supervisorStrategy;

        public Spawn(Props props, Option<string> name, Option<SupervisorStrategy> supervisorStrategy)
        {
            _props = props;
            _name = name;
            _supervisorStrategy = supervisorStrategy;
        }

        public IActorRef Apply(IActorRefFactory context) => context.ActorOf(_props, _name.HasValue ? _name.Value : null);
    }
}
