namespace Holdfast.Snapshots;

/// <summary>What a verification looked at and found.</summary>
public sealed record VerifyReport
{
    /// <summary>Snapshots looked at.</summary>
    public int Snapshots { get; init; }

    /// <summary>Packs looked at.</summary>
    public int Packs { get; init; }

    /// <summary>Bytes of packs that were read and checked.</summary>
    public long BytesRead { get; init; }

    /// <summary>What is wrong; empty for a sound store.</summary>
    public required IReadOnlyList<VerifyFinding> Findings { get; init; }

    /// <summary>True when nothing is wrong.</summary>
    public bool IsSound => Findings.Count == 0;
}
