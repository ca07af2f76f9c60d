using Akka.Actor;
using Akka.Configuration;

namespace Akka.Routing;

internal static class RouterFactory
{
    public static Props Apply(Config section, Props props) => props;
}
