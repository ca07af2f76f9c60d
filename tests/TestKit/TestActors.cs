using Akka.Actor;

namespace Akka.TestKit.TestActors;

/// <summary>Handles everything and does nothing.</summary>
public class BlackHoleActor : ActorBase
{
    public static Props Props { get; } = Props.Create<BlackHoleActor>();

    protected override bool Receive(object message) => true;
}

/// <summary>Sends everything back, and to the test actor unless told otherwise.</summary>
public class EchoActor : ReceiveActor
{
    public EchoActor(TestKitBase testkit, bool echoBackToSenderAsWell = true) => ReceiveAny(message =>
    {
        var sender = Sender;
        var testActor = testkit.TestActor;
        if (echoBackToSenderAsWell && !testActor.Equals(sender))
        {
            sender.Forward(message);
        }

        testActor.Tell(message, Sender);
    });

    public static Props Props(TestKitBase testkit, bool echoBackToSenderAsWell = true) => Actor.Props.Create(() => new EchoActor(testkit, echoBackToSenderAsWell));
}

/// <summary>Sends everything on.</summary>
public class ForwardActor : ActorBase
{
    public ForwardActor(IActorRef actorRef) => Ref = actorRef;

    public IActorRef Ref { get; }

    public static Props Props(IActorRef actorRef) => Actor.Props.Create(() => new ForwardActor(actorRef));

    protected override bool Receive(object message)
    {
        Ref.Forward(message);
        return true;
    }
}

/// <summary>Handles nothing.</summary>
public class UnhandledMessageActor : ReceiveActor
{
}
