using System.Security.Cryptography;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// A store of snapshots in a local directory. Several threads and several processes may use one directory at once.
/// </summary>
/// <remarks>
/// A snapshot is visible once its <see cref="SnapshotWriter.Commit"/> returned, and durable from then on. What is read was verified.
/// </remarks>
public sealed partial class SnapshotStore : IDisposable
{
    private readonly StoreLayout _layout;

    private readonly Google.Protobuf.ByteString _id;
    private ContentIndex? _contents;

    private SnapshotStore(StoreLayout layout, StoreOptions options, StoreHeader header)
    {
        _layout = layout;
        Digests = new DigestCache(this);
        Vault = OpenVault(layout, options, header);
        OpenPacks = new OpenPacks(layout.Packs, () => Vault);
        Options = options;
        _id = header.StoreId;
    }

    /// <summary>The directory, absolute.</summary>
    public string Directory => _layout.Root;

    /// <summary>What it was opened with.</summary>
    public StoreOptions Options { get; private set; }

    /// <summary>The store's own id: 32 hexadecimal digits, the same for its whole life.</summary>
    public string Id => Convert.ToHexStringLower(_id.Span);

    /// <summary>True when what is in it is encrypted.</summary>
    public bool IsEncrypted => Vault is not null;

    internal StoreLayout Layout => _layout;

    internal Vault? Vault { get; private set; }

    /// <summary>The index of contents, loaded the first time.</summary>
    internal ContentIndex Contents => LazyInitializer.EnsureInitialized(ref _contents, () => ContentIndex.Load(_layout, Vault));

    internal DigestCache Digests { get; }

    internal OpenPacks OpenPacks { get; }

    internal ContentIndex? ContentsIfLoaded => Volatile.Read(ref _contents);

    /// <summary>Opens the store in a directory, and makes it when there is none and the options allow it.</summary>
    /// <param name="directory">The directory; made with mode 0700 when it does not exist.</param>
    /// <param name="options">Defaults when null.</param>
    /// <exception cref="SnapshotStoreException">
    /// There is no store and none may be made (<c>store.missing</c>), the directory holds something else (<c>store.invalid</c>),
    /// a later version of this program made it (<c>store.version</c>), or it is encrypted and the key is missing or another (<c>store.key</c>).
    /// </exception>
    public static SnapshotStore Open(string directory, StoreOptions? options = null)
    {
        options ??= new StoreOptions();
        var layout = new StoreLayout(Path.GetFullPath(directory));
        if (TryReadHeader(layout) is { } existing)
        {
            return new SnapshotStore(layout, options, existing);
        }

        if (!options.Create)
        {
            throw new SnapshotStoreException("store.missing", $"there is no snapshot store in {layout.Root}");
        }

        MakeStore(layout, options.Key);
        return new SnapshotStore(layout, options, TryReadHeader(layout) ?? throw new SnapshotStoreException("store.missing", $"the store in {layout.Root} went away"));
    }

    /// <summary>The names of the storage objects that have snapshots, in ordinal order.</summary>
    public IReadOnlyList<string> Objects()
    {
        var names = new List<string>();
        foreach (string directory in System.IO.Directory.EnumerateDirectories(_layout.Objects))
        {
            if (NameOf(Path.GetFileName(directory)) is { } name)
            {
                names.Add(name);
            }
        }

        names.Sort(StringComparer.Ordinal);
        return names;
    }

    /// <summary>
    /// The snapshots of an object in the order of their creation; empty for an object that does not exist. One whose manifest is damaged
    /// is listed with <see cref="SnapshotInfo.Damage"/>.
    /// </summary>
    public IReadOnlyList<SnapshotInfo> List(string objectName)
    {
        string encoded = EncodeName(objectName);
        var list = new List<SnapshotInfo>();
        foreach (string id in Ids(encoded))
        {
            if (ReadInfo(objectName, encoded, id) is { } info)
            {
                list.Add(info);
            }
        }

        list.Sort(static (a, b) => a.CreatedAt.CompareTo(b.CreatedAt) is var time and not 0 ? time : string.CompareOrdinal(a.Id, b.Id));
        return list;
    }

    /// <summary>Finds a snapshot.</summary>
    /// <param name="objectName">The storage object.</param>
    /// <param name="which">
    /// An id, a beginning of one that fits only one snapshot, <c>latest</c>, or a position in the order of creation:
    /// <c>1st</c> (the oldest), <c>2nd</c>, <c>3rd</c>, <c>4th</c>… or <c>-1</c> (the one before the latest), <c>-2</c>…
    /// </param>
    /// <exception cref="SnapshotStoreException">None fits, or more than one does (<c>snapshot.unknown</c>).</exception>
    public SnapshotInfo Find(string objectName, string which = "latest")
    {
        string encoded = EncodeName(objectName);
        if (SnapshotId.IsValid(which) && ReadInfo(objectName, encoded, which) is { } exact)
        {
            return exact;
        }

        return Choose(List(objectName), objectName, which, Directory);
    }

    /// <summary>Finds a snapshot among those of an object, wherever they are.</summary>
    /// <param name="all">All snapshots of the object, in the order of creation.</param>
    /// <param name="objectName">The storage object.</param>
    /// <param name="which">As for <see cref="Find(string, string)"/>.</param>
    /// <param name="where">What people call the place.</param>
    /// <exception cref="SnapshotStoreException">None fits, or more than one does (<c>snapshot.unknown</c>).</exception>
    public static SnapshotInfo Choose(IReadOnlyList<SnapshotInfo> all, string objectName, string which, string where)
    {
        if (all.Count == 0)
        {
            throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot of {objectName} in {where}");
        }

        if (SnapshotAddress.TryPosition(which, all.Count, out int index))
        {
            return index >= 0 && index < all.Count
                ? all[index]
                : throw new SnapshotStoreException("snapshot.unknown", $"{objectName} has {all.Count} snapshots; there is no {which}");
        }

        List<SnapshotInfo> fitting = [.. all.Where(s => which.Length > 0 && s.Id.StartsWith(which, StringComparison.Ordinal))];
        return fitting.Count switch
        {
            1 => fitting[0],
            0 => throw new SnapshotStoreException("snapshot.unknown", $"{objectName} has no snapshot {which}; the latest is {all[^1].Id}"),
            _ => throw new SnapshotStoreException("snapshot.unknown", $"{which} fits {fitting.Count} snapshots of {objectName}, {fitting[0].Id} and {fitting[1].Id} among them; give more digits"),
        };
    }

    /// <summary>Finds a snapshot by <c>NAME</c> (its latest) or <c>NAME@WHICH</c>, with the forms of <see cref="Find(string, string)"/>.</summary>
    /// <exception cref="SnapshotStoreException">None fits, or more than one does (<c>snapshot.unknown</c>).</exception>
    public SnapshotInfo FindAddress(string address)
    {
        (string name, string which) = SnapshotAddress.Split(address);
        return Find(name, which);
    }

    /// <summary>Begins a snapshot. Nothing of it is visible before <see cref="SnapshotWriter.Commit"/>.</summary>
    /// <param name="objectName">The storage object.</param>
    /// <param name="kind">What kind of object it is, such as <c>application</c>.</param>
    /// <param name="parent">The snapshot whose unchanged ranges can be kept; null for none.</param>
    /// <param name="options">Defaults when null.</param>
    /// <exception cref="SnapshotStoreException">The name is not valid, or the parent is gone or damaged.</exception>
    public SnapshotWriter BeginSnapshot(string objectName, string kind, SnapshotInfo? parent = null, SnapshotWriterOptions? options = null) =>
        new(this, objectName, kind, parent, options ?? new SnapshotWriterOptions());

    /// <summary>Opens a snapshot for reading. It can be read to the end even if it is forgotten meanwhile.</summary>
    /// <exception cref="SnapshotStoreException">It does not exist (<c>snapshot.unknown</c>) or its manifest is damaged (<c>snapshot.damaged</c>).</exception>
    public SnapshotReader OpenSnapshot(SnapshotInfo snapshot) => new(this, snapshot.Object, snapshot.Id);

    /// <summary>Removes a snapshot. Others are not harmed; the space comes back with the next garbage collection.</summary>
    /// <exception cref="SnapshotStoreException">It does not exist (<c>snapshot.unknown</c>), or a migration still needs it (<c>snapshot.pinned</c>).</exception>
    public void Forget(SnapshotInfo snapshot)
    {
        string encoded = EncodeName(snapshot.Object);
        string path = _layout.Manifest(encoded, snapshot.Id);
        string trash = Path.Combine(_layout.Trash, $"{PackId.New()}{StoreLayout.ManifestExtension}");
        if (!File.Exists(path))
        {
            throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {snapshot.Address} in {Directory}");
        }

        // Exclusively: who pins it meanwhile comes before, and is seen here, or after, and learns that it is gone.
        using SafeFileHandle trashLock = Libc.OpenLockFile(_layout.TrashLock);
        Libc.Lock(trashLock, Libc.LockExclusive, _layout.TrashLock);
        if (PinOf(encoded, snapshot.Id) is { } pin)
        {
            throw new SnapshotStoreException("snapshot.pinned", $"{snapshot.Address} is needed: {pin}; let that end, or unpin it");
        }

        // Noted first: a manifest that is there is a snapshot, whatever was noted, while one that disappears without a note is a loss.
        Record(StoreEvent.Forgotten, encoded, snapshot.Id);
        Libc.Rename(path, trash);
        Libc.FlushDirectory(_layout.Object(encoded));
        ReflinkClone.Release(this, snapshot.Object, snapshot.Id);
    }

    /// <summary>Lets go of what the store holds open.</summary>
    public void Dispose() => OpenPacks.Dispose();

    internal static bool IsManifest(ReadOnlySpan<char> fileName) =>
        fileName.EndsWith(StoreLayout.ManifestExtension, StringComparison.Ordinal)
        && SnapshotId.IsValid(fileName[..^StoreLayout.ManifestExtension.Length]);

    /// <summary>Ids of the snapshots of an object, in no order.</summary>
    internal IEnumerable<string> Ids(string encodedName)
    {
        string directory = _layout.Object(encodedName);
        if (!System.IO.Directory.Exists(directory))
        {
            yield break;
        }

        foreach (string file in System.IO.Directory.EnumerateFiles(directory))
        {
            string name = Path.GetFileName(file);
            if (IsManifest(name))
            {
                yield return name[..SnapshotId.Length];
            }
        }
    }

    /// <summary>The directory that stands for an object.</summary>
    /// <exception cref="SnapshotStoreException">The name is not valid (<c>name.invalid</c>).</exception>
    internal string EncodeName(string objectName)
    {
        string plain = ObjectName.Encode(objectName);
        return Vault?.DirectoryName(objectName) ?? plain;
    }

    /// <summary>The object that a directory stands for; null when it has no snapshot, or, in an encrypted store, none that can be read.</summary>
    internal string? NameOf(string encodedName)
    {
        if (Vault is null)
        {
            return ObjectName.Decode(encodedName) is { } name && Ids(encodedName).Any() ? name : null;
        }

        foreach (string id in Ids(encodedName))
        {
            string path = _layout.Manifest(encodedName, id);
            using SafeFileHandle? file = Libc.TryOpen(path);
            try
            {
                if (file is not null)
                {
                    return ManifestFile.ReadHeader(file, path, null, id, Vault).Object;
                }
            }
            catch (SnapshotStoreException)
            {
                // Another one may be readable.
            }
        }

        return null;
    }

    /// <summary>The hash that stands for bytes in this store: SHA-256, keyed when it is encrypted.</summary>
    internal void HashContent(ReadOnlySpan<byte> data, Span<byte> into)
    {
        if (Vault is null)
        {
            SHA256.HashData(data, into);
        }
        else
        {
            Vault.Hash(data, into);
        }
    }

    private SnapshotInfo? ReadInfo(string objectName, string encodedName, string id)
    {
        string path = _layout.Manifest(encodedName, id);
        using SafeFileHandle? file = Libc.TryOpen(path);
        if (file is null)
        {
            return null;
        }

        try
        {
            return ManifestFile.ToInfo(ManifestFile.ReadHeader(file, path, objectName, id, Vault));
        }
        catch (SnapshotStoreException e)
        {
            return new SnapshotInfo { Object = objectName, Id = id, Damage = e.Message };
        }
    }
}
