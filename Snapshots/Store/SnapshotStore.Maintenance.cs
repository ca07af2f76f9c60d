using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>Verification, rebuilding, garbage collection, pins.</content>
public sealed partial class SnapshotStore
{
    /// <summary>Reads and checks everything: headers, packs, manifests, extent tables, every stored byte that a snapshot refers to, the catalogue.</summary>
    /// <param name="progress">Told how many bytes were read so far; null for nobody.</param>
    public VerifyReport Verify(Action<long>? progress = null) => new Verifier(this, progress).Run();

    /// <summary>
    /// Makes again, from the manifests and packs alone, what can be: the catalogue, and a damaged or missing header from its copy.
    /// </summary>
    public void Rebuild()
    {
        foreach (string path in (string[])[_layout.Catalogue, _layout.Catalogue + "-journal", _layout.Events])
        {
            File.Delete(path);
        }

        using (var catalogue = new Catalogue(_layout))
        {
            catalogue.Adopt(_layout.Manifests().Select(m => (m.Directory, m.Id)));
        }

        StoreHeader header = TryReadHeader(_layout) ?? throw new SnapshotStoreException("store.missing", $"the store in {Directory} went away");
        foreach (string path in (string[])[_layout.HeaderCopy, _layout.Header])
        {
            if (HeaderDamage(path) is not null)
            {
                WriteHeader(_layout, header, temporary => Libc.Rename(temporary, path));
            }
        }

        Libc.FlushDirectory(_layout.Root);
    }

    /// <summary>
    /// Opens a store whose header and its copy are both gone, by making a new header. Only for stores that are not encrypted: without the header,
    /// the keys of an encrypted one are lost.
    /// </summary>
    /// <exception cref="SnapshotStoreException">There is a header (<c>store.invalid</c>), or a pack is encrypted (<c>store.key</c>).</exception>
    public static SnapshotStore RebuildHeader(string directory)
    {
        var layout = new StoreLayout(Path.GetFullPath(directory));
        foreach (string path in (string[])[layout.Header, layout.HeaderCopy])
        {
            if (!File.Exists(path))
            {
                continue;
            }

            try
            {
                if (ReadHeader(path, layout) is not null)
                {
                    throw new SnapshotStoreException("store.invalid", $"the store in {layout.Root} has a header; open it");
                }
            }
            catch (SnapshotDamagedException)
            {
                // That is what it is for.
            }
        }

        Span<byte> packHeader = stackalloc byte[PackFormat.HeaderUsed];
        foreach (PackId id in layout.PackIds())
        {
            string path = Path.Combine(layout.Packs, id + PackFormat.Extension);
            using SafeFileHandle? pack = Libc.TryOpen(path);
            if (pack is not null && Libc.Read(pack, packHeader, 0, path) is var length && length == packHeader.Length && packHeader[24..28].IndexOfAnyExcept((byte)0) >= 0)
            {
                throw new SnapshotStoreException("store.key", $"{path} is encrypted and the store's header, which held its keys, is gone; bring back the file 'store' or 'store.copy'");
            }
        }

        File.Delete(layout.Header);
        File.Delete(layout.HeaderCopy);
        foreach (string part in (string[])[layout.Packs, layout.Objects, layout.Trash, layout.Pins, layout.Incoming])
        {
            Libc.TryMakeDirectory(part);
        }

        WriteFirstHeader(layout, null);
        SnapshotStore store = Open(directory, new StoreOptions { Create = false });
        store.Rebuild();
        return store;
    }

    /// <summary>Gives back the space of what no snapshot refers to. Others may write and read meanwhile.</summary>
    /// <exception cref="SnapshotStoreException">Another collection runs (<c>store.busy</c>).</exception>
    public CollectionReport CollectGarbage()
    {
        CollectionReport report = new GarbageCollector(this).Run();

        // What was collected is not to be offered any more.
        Volatile.Write(ref _contents, null);
        return report;
    }

    /// <summary>Heals what a verification found damaged, from another device that has the same snapshots.</summary>
    /// <param name="other">The other device.</param>
    /// <param name="report">What is damaged.</param>
    /// <param name="cancel">Cancels.</param>
    public Task<RepairReport> RepairAsync(IStorageDevice other, VerifyReport report, CancellationToken cancel = default) =>
        new Repairer(this, other).RunAsync(report, cancel);

    /// <summary>Puts a manifest that cannot be read out of the way.</summary>
    /// <returns>Where it is now; null when there is none.</returns>
    internal string? Discard(string objectName, string id)
    {
        string path = _layout.Manifest(EncodeName(objectName), id);
        if (!File.Exists(path))
        {
            return null;
        }

        string trash = Path.Combine(_layout.Trash, PackId.New() + StoreLayout.ManifestExtension);
        Libc.Rename(path, trash);
        return trash;
    }

    /// <summary>Undoes <see cref="Discard"/>, unless the collector was faster.</summary>
    internal void BringBack(string objectName, string id, string? discarded)
    {
        string path = _layout.Manifest(EncodeName(objectName), id);
        if (discarded is not null && File.Exists(discarded) && !File.Exists(path))
        {
            Libc.Rename(discarded, path);
        }
    }

    /// <summary>Bytes that the packs take on the device, unfinished ones too.</summary>
    public long PackBytes()
    {
        long bytes = 0;
        foreach (string path in System.IO.Directory.EnumerateFiles(_layout.Packs))
        {
            using SafeFileHandle? file = Libc.TryOpen(path);
            bytes += file is null ? 0 : Libc.AllocatedBytes(file, path);
        }

        return bytes;
    }

    /// <summary>Keeps a snapshot from being forgotten.</summary>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="owner">Who needs it, such as <c>migration to STORE</c>; one pin for each.</param>
    /// <exception cref="SnapshotStoreException">It does not exist, or was forgotten just now (<c>snapshot.unknown</c>).</exception>
    public void Pin(SnapshotInfo snapshot, string owner)
    {
        string encoded = EncodeName(snapshot.Object);
        string path = PinPath(encoded, snapshot.Id, owner);
        using SafeFileHandle trashLock = Libc.OpenLockFile(_layout.TrashLock);
        Libc.Lock(trashLock, Libc.LockExclusive, _layout.TrashLock);
        if (!File.Exists(_layout.Manifest(encoded, snapshot.Id)))
        {
            throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {snapshot.Address} in {Directory}");
        }

        using (SafeFileHandle file = Libc.CreateLocked(() => StoreLayout.Temporary(_layout.Root), out string temporary))
        {
            Libc.Write(file, FrameFile.Build(PinMagic, [new Frame(FrameKind.Header, new Tag { Name = snapshot.Id, Value = owner }.ToByteArray())], Vault), 0, temporary);
            Libc.Flush(file, temporary);
            Libc.Rename(temporary, path);
        }

        Libc.FlushDirectory(_layout.Pins);
    }

    /// <summary>Takes a pin away. Does nothing when there is none.</summary>
    public void Unpin(SnapshotInfo snapshot, string owner)
    {
        File.Delete(PinPath(EncodeName(snapshot.Object), snapshot.Id, owner));
        Libc.FlushDirectory(_layout.Pins);
    }

    /// <summary>Who pins a snapshot; empty for nobody.</summary>
    public IReadOnlyList<string> PinsOf(SnapshotInfo snapshot) => [.. Pinners(EncodeName(snapshot.Object), snapshot.Id)];

    /// <summary>Takes away all pins of one owner.</summary>
    public void UnpinAll(string owner)
    {
        foreach (string path in System.IO.Directory.EnumerateFiles(_layout.Pins, $"*~{Crc32C.Of(System.Text.Encoding.UTF8.GetBytes(owner)):x8}"))
        {
            File.Delete(path);
        }

        Libc.FlushDirectory(_layout.Pins);
    }

    internal void Record(StoreEvent kind, string encodedName, string id) => EventLog.Append(_layout, kind, encodedName, id);

    /// <summary>What is wrong with a copy of the header; null for nothing.</summary>
    internal string? HeaderDamage(string path)
    {
        try
        {
            return ReadHeader(path, _layout) is null ? $"{path} is missing" : null;
        }
        catch (SnapshotStoreException e)
        {
            return e.Message;
        }
    }

    private static ReadOnlySpan<byte> PinMagic => "HFPIN1\n\n"u8;

    private string? PinOf(string encodedName, string id) => Pinners(encodedName, id).FirstOrDefault();

    private IEnumerable<string> Pinners(string encodedName, string id)
    {
        foreach (string path in System.IO.Directory.EnumerateFiles(_layout.Pins, $"{encodedName}~{id}~*"))
        {
            yield return ReadPin(path);
        }
    }

    private string ReadPin(string path)
    {
        try
        {
            using SafeFileHandle? file = Libc.TryOpen(path);
            return file is null ? "somebody" : Tag.Parser.ParseFrom(FrameFile.Read(file, path, PinMagic, FrameKind.Header, Vault)[0].Payload.Span).Value;
        }
        catch (Exception e) when (e is SnapshotStoreException or InvalidProtocolBufferException)
        {
            return $"a pin that cannot be read ({path})";
        }
    }

    private string PinPath(string encodedName, string id, string owner) =>
        Path.Combine(_layout.Pins, $"{encodedName}~{id}~{Crc32C.Of(System.Text.Encoding.UTF8.GetBytes(owner)):x8}");
}
