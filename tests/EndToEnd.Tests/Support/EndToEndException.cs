namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>What a test found wrong, with what is needed to understand it.</summary>
public sealed class EndToEndException(string message) : Exception(message);
