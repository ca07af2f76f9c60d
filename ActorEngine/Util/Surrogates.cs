using Akka.Actor;

namespace Akka.Util;

/// <summary>The stand-in of an object while it is serialised.</summary>
public interface ISurrogate
{
    /// <summary>Turns the stand-in back into what it stands for.</summary>
    ISurrogated FromSurrogate(ActorSystem system);
}

/// <summary>An object that is serialised by way of a stand-in.</summary>
public interface ISurrogated
{
    /// <summary>The stand-in that can be serialised.</summary>
    ISurrogate ToSurrogate(ActorSystem system);
}
