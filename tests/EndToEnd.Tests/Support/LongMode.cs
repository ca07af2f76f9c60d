namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>How much to do: HOLDFAST_LONG=1 asks for the larger count. A seed is printed so that a failure can be had again.</summary>
internal static class LongMode
{
    public static bool IsOn => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    public static int Count(int usual, int larger) => IsOn ? larger : usual;

    /// <summary>HOLDFAST_SEED, else a fixed one in the usual mode and a new one in the long mode.</summary>
    public static int Seed =>
        int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_SEED"), out var chosen) ? chosen : IsOn ? Environment.TickCount : 20;
}
