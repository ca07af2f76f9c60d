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
