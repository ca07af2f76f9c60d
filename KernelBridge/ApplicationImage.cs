namespace Holdfast.KernelBridge;

/// <summary>Everything of an application but the contents of its memory: the structured part of a snapshot.</summary>
public sealed record ApplicationImage
{
    /// <summary>The processes, parents before children.</summary>
    public required IReadOnlyList<ProcessImage> Processes { get; init; }

    /// <summary>The image as bytes: versioned, readable by later versions.</summary>
    public byte[] Encode() => throw new NotImplementedException();

    /// <summary>Reads an image; everything in it is checked.</summary>
    /// <exception cref="BridgeException">It is not a valid image (<c>image.invalid</c>).</exception>
    public static ApplicationImage Decode(ReadOnlySpan<byte> bytes) => throw new NotImplementedException();
}

/// <summary>One process of an image.</summary>
public sealed record ProcessImage
{
    /// <summary>The pid inside the application's pid namespace.</summary>
    public required int Pid { get; init; }

    /// <summary>The parent's pid; 0 or 1 when it is outside the application.</summary>
    public required int ParentPid { get; init; }

    /// <summary>Name as in /proc/PID/comm.</summary>
    public required string Name { get; init; }

    /// <summary>How many threads; 0 for a zombie.</summary>
    public required int ThreadCount { get; init; }
}
