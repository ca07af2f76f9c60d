namespace Holdfast.Checkpoint.Bench;

/// <summary>The bench could not measure what it was asked to.</summary>
internal sealed class BenchException(string message) : Exception(message);
