namespace Holdfast.Snapshots;

/// <summary>Something that a verification found wrong.</summary>
/// <param name="Code">
/// Stable code: <c>header</c>, <c>manifest</c>, <c>manifest.missing</c>, <c>extent</c>, <c>pack</c>, <c>catalogue</c>.
/// </param>
/// <param name="File">The file.</param>
/// <param name="Position">Byte position in the file.</param>
/// <param name="Snapshot">NAME@ID, or null when it is about no single snapshot.</param>
/// <param name="Stream">The stream, or null.</param>
/// <param name="Offset">Offset of the first lost byte in the stream.</param>
/// <param name="Length">Bytes of the stream that are lost; 0 when not known.</param>
/// <param name="Message">What is wrong, in words.</param>
public sealed record VerifyFinding(string Code, string File, long Position, string? Snapshot, string? Stream, long Offset, long Length, string Message);
