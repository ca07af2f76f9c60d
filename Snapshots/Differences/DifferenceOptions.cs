namespace Holdfast.Snapshots;

/// <summary>How two snapshots are compared.</summary>
public sealed record DifferenceOptions
{
    /// <summary>
    /// True (the default): where the manifests refer to different places, the bytes themselves are compared, so that equal ones do not count.
    /// That reads what the manifests do not share. False: only the manifests are compared.
    /// </summary>
    public bool CompareContent { get; init; } = true;
}
