namespace Holdfast.Snapshots;

/// <summary>A frame of a file. A class: lists of it need no code of their own when the program starts.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Payload">Its bytes.</param>
internal sealed record Frame(FrameKind Kind, ReadOnlyMemory<byte> Payload);
