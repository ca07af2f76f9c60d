namespace Akka.Actor;

/// <summary>Finds and names the references of a system.</summary>
public interface IActorRefProvider
{
    /// <summary>The root of all paths.</summary>
    ActorPath RootPath { get; }

    /// <summary>The system's settings.</summary>
    Settings Settings { get; }

    /// <summary>Where messages to nobody go.</summary>
    IActorRef DeadLetters { get; }

    /// <summary>Where messages go that nobody wants.</summary>
    IActorRef IgnoreRef { get; }

    /// <summary>The address of the system.</summary>
    Address DefaultAddress { get; }

    /// <summary>Ends with the root of the tree.</summary>
    Task TerminationTask { get; }

    /// <summary>A path below /temp that no reference has had yet.</summary>
    ActorPath TempPath();

    /// <summary>The reference of an actor that lives; one that leads to the dead letters for others.</summary>
    IActorRef ResolveActorRef(string path);

    /// <summary>The reference of an actor that lives; one that leads to the dead letters for others.</summary>
    IActorRef ResolveActorRef(ActorPath actorPath);

    /// <summary>The root of the system of an address; the dead letters when it is another system's.</summary>
    IActorRef RootGuardianAt(Address address);

    /// <summary>The address by which that address reaches this system; null when it does not.</summary>
    Address? GetExternalAddressFor(Address address);
}
