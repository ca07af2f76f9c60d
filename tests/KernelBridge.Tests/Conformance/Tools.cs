namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Programs of the machine.</summary>
public static class Tools
{
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Select(directory => Path.Combine(directory, name)).FirstOrDefault(File.Exists);

    /// <summary>How often a randomised test repeats.</summary>
    public static int Count(int usual, int often) => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? often : usual;

    /// <summary>A seed, said aloud, that HOLDFAST_SEED can set.</summary>
    public static int Seed(Xunit.Abstractions.ITestOutputHelper output)
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_SEED"), out int given) ? given : Random.Shared.Next();
        output.WriteLine($"HOLDFAST_SEED={seed}");
        return seed;
    }
}
