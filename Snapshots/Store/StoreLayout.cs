namespace Holdfast.Snapshots;

/// <summary>Where the parts of a store are in its directory.</summary>
internal sealed class StoreLayout(string root)
{
    internal const string ManifestExtension = ".snap";
    internal const string TemporaryPrefix = ".tmp-";

    internal string Root { get; } = root;

    internal string Header { get; } = Path.Combine(root, "store");

    /// <summary>The header again: the store's keys must not depend on one file.</summary>
    internal string HeaderCopy { get; } = Path.Combine(root, "store.copy");

    internal string Packs { get; } = Path.Combine(root, "packs");

    internal string Objects { get; } = Path.Combine(root, "objects");

    /// <summary>Manifests of forgotten snapshots, until gc has made sure that nobody reads them.</summary>
    internal string Trash { get; } = Path.Combine(root, "trash");

    /// <summary>Held by the garbage collection that runs.</summary>
    internal string CollectorLock { get; } = Path.Combine(root, "gc.lock");

    internal string Catalogue { get; } = Path.Combine(root, "catalogue.db");

    /// <summary>What happened since the catalogue was last written.</summary>
    internal string Events { get; } = Path.Combine(root, "events");

    /// <summary>What must not be forgotten now, and why.</summary>
    internal string Pins { get; } = Path.Combine(root, "pins");

    /// <summary>Transfers that are being received.</summary>
    internal string Incoming { get; } = Path.Combine(root, "incoming");

    /// <summary>Held while a garbage collection looks for new manifests, while one is moved to the trash, and while one is pinned.</summary>
    internal string TrashLock { get; } = Path.Combine(root, "trash.lock");

    /// <summary>Which file is the clone of which snapshot, by object.</summary>
    internal string Reflinks { get; } = Path.Combine(root, "reflinks");

    internal string Reflink(string encodedName) => Path.Combine(Reflinks, encodedName);

    /// <summary>A new name for a file that is not finished.</summary>
    internal static string Temporary(string directory) => Path.Combine(directory, TemporaryPrefix + PackId.New());

    internal string Object(string encodedName) => Path.Combine(Objects, encodedName);

    internal string Manifest(string encodedName, string id) => Path.Combine(Objects, encodedName, id + ManifestExtension);

    internal string Lock(string encodedName) => Path.Combine(Objects, encodedName, "lock");

    /// <summary>Ids of the finished packs, in no order.</summary>
    internal IEnumerable<PackId> PackIds()
    {
        foreach (string file in Directory.EnumerateFiles(Packs, "*" + PackFormat.Extension))
        {
            if (PackId.TryParse(Path.GetFileNameWithoutExtension(file.AsSpan()), out PackId id))
            {
                yield return id;
            }
        }
    }

    /// <summary>The manifests of all visible snapshots.</summary>
    internal IEnumerable<(string Directory, string Id, string Path)> Manifests()
    {
        foreach (string directory in Directory.EnumerateDirectories(Objects))
        {
            foreach (string file in Directory.EnumerateFiles(directory, "*" + ManifestExtension))
            {
                string name = Path.GetFileName(file);
                if (SnapshotStore.IsManifest(name))
                {
                    yield return (Path.GetFileName(directory), name[..SnapshotId.Length], file);
                }
            }
        }
    }
}
