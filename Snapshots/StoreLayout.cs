namespace Holdfast.Snapshots;

/// <summary>Where the parts of a store are in its directory.</summary>
internal sealed class StoreLayout(string root)
{
    internal const string ManifestExtension = ".snap";
    internal const string TemporaryPrefix = ".tmp-";

    internal string Root { get; } = root;

    internal string Header { get; } = Path.Combine(root, "store");

    internal string Packs { get; } = Path.Combine(root, "packs");

    internal string Objects { get; } = Path.Combine(root, "objects");

    /// <summary>Manifests of forgotten snapshots, until gc has made sure that nobody reads them.</summary>
    internal string Trash { get; } = Path.Combine(root, "trash");

    internal string Object(string encodedName) => Path.Combine(Objects, encodedName);

    internal string Manifest(string encodedName, string id) => Path.Combine(Objects, encodedName, id + ManifestExtension);

    internal string Lock(string encodedName) => Path.Combine(Objects, encodedName, "lock");
}
