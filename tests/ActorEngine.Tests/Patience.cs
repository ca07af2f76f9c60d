namespace Holdfast.ActorEngine.Tests;

/// <summary>How long the specs wait for what must come. The TestKit's own three seconds are not enough for a machine that has other things to do.</summary>
internal static class Patience
{
    public const string Config = "akka.test { single-expect-default = 30s, filter-leeway = 30s, default-timeout = 30s }\n";
}
