using Akka.Actor;

namespace Akka.Configuration;

/// <summary>The configuration cannot be read or does not make sense. Says where: source, line and column.</summary>
public class ConfigurationException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public ConfigurationException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public ConfigurationException(string message, Exception exception)
        : base(message, exception)
    {
    }
}
