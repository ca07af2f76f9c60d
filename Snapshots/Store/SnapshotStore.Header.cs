using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>The store's header and its keys.</content>
public sealed partial class SnapshotStore
{
    private const uint Version = 1;

    private static ReadOnlySpan<byte> HeaderMagic => "HFSTORE\n"u8;

    /// <summary>
    /// Changes the key of an encrypted store: from now on only the new one opens it, and what is written from now on is encrypted with new data keys.
    /// Nothing that is stored is rewritten.
    /// </summary>
    /// <exception cref="SnapshotStoreException">The store is not encrypted (<c>store.key</c>).</exception>
    public void RotateKey(StoreKey newKey)
    {
        if (Vault is null || Options.Key is null)
        {
            throw new SnapshotStoreException("store.key", $"the store in {Directory} is not encrypted: it has no key to change");
        }

        string lockPath = Path.Combine(_layout.Root, "lock");
        using SafeFileHandle storeLock = Libc.OpenLockFile(lockPath);
        Libc.Lock(storeLock, Libc.LockExclusive, lockPath);
        StoreHeader header = TryReadHeader(_layout) ?? throw new SnapshotStoreException("store.missing", $"the store in {Directory} went away");
        Vault rotated = Vault.Open(header.KeySlot, Options.Key, _layout.Header).Rotated();
        header.KeySlot = rotated.Seal(newKey);
        foreach (string path in (string[])[_layout.HeaderCopy, _layout.Header])
        {
            WriteHeader(_layout, header, temporary => Libc.Rename(temporary, path));
            Libc.FlushDirectory(_layout.Root);
        }

        Vault = rotated;
        Options = Options with { Key = newKey };
    }

    /// <summary>Tells whether the store in a directory is encrypted; false where there is none.</summary>
    /// <exception cref="SnapshotDamagedException">The header and its copy are damaged.</exception>
    public static bool IsEncryptedAt(string directory) => TryReadHeader(new StoreLayout(Path.GetFullPath(directory)))?.KeySlot is not null;

    /// <summary>Reads the header, or its copy when it is damaged or missing.</summary>
    /// <returns>Null when there is no store.</returns>
    private static StoreHeader? TryReadHeader(StoreLayout layout)
    {
        SnapshotDamagedException? damage = null;
        foreach (string path in (string[])[layout.Header, layout.HeaderCopy])
        {
            try
            {
                if (ReadHeader(path, layout) is { } header)
                {
                    return header;
                }
            }
            catch (SnapshotDamagedException e)
            {
                damage ??= e;
            }
        }

        return damage is null ? null : throw damage;
    }

    private static StoreHeader? ReadHeader(string path, StoreLayout layout)
    {
        using SafeFileHandle? file = Libc.TryOpen(path);
        if (file is null)
        {
            return null;
        }

        List<Frame> frames = FrameFile.Read(file, path, HeaderMagic);
        if (frames.Count == 0 || frames[0].Kind != FrameKind.Header)
        {
            throw new SnapshotDamagedException(path, 0, "a HEAD frame is expected first");
        }

        StoreHeader header = FrameFile.Parse(StoreHeader.Parser, frames[0].Payload.Span, path, HeaderMagic.Length);
        return header.Version is > 0 and <= Version
            ? header
            : throw new SnapshotStoreException("store.version", $"the store in {layout.Root} has version {header.Version}; this program reads up to {Version}; use a newer one");
    }

    private static Vault? OpenVault(StoreLayout layout, StoreOptions options, StoreHeader header) => (header.KeySlot, options.Key) switch
    {
        (null, null) => null,
        ({ } slot, { } key) => Snapshots.Vault.Open(slot, key, layout.Header),
        ({ } slot, null) => throw new SnapshotStoreException("store.key", $"the store in {layout.Root} is encrypted; give the key {slot.KeyId}"),
        (null, _) => throw new SnapshotStoreException("store.key", $"the store in {layout.Root} is not encrypted; open it without a key"),
    };

    /// <summary>The store id in a copy of a header.</summary>
    internal static string IdIn(string path) =>
        Convert.ToHexStringLower((ReadHeader(path, new StoreLayout(Path.GetDirectoryName(path)!)) ?? throw new SnapshotDamagedException(path, 0, "is missing")).StoreId.Span);

    /// <summary>Makes the directories of a store where they are missing.</summary>
    internal static void MakeDirectories(StoreLayout layout)
    {
        if (Path.GetDirectoryName(layout.Root) is { } above)
        {
            System.IO.Directory.CreateDirectory(above);
        }

        if (Libc.TryMakeDirectory(layout.Root))
        {
            Libc.FlushDirectory(Path.GetDirectoryName(layout.Root) ?? layout.Root);
        }

        foreach (string directory in (string[])[layout.Packs, layout.Objects, layout.Trash, layout.Pins, layout.Incoming])
        {
            Libc.TryMakeDirectory(directory);
        }
    }

    private static void MakeStore(StoreLayout layout, StoreKey? key)
    {
        if (System.IO.Directory.Exists(layout.Packs) && System.IO.Directory.EnumerateFileSystemEntries(layout.Packs).Any())
        {
            throw new SnapshotStoreException("store.invalid", $"{layout.Root} holds packs but its file 'store' is missing; run verify --rebuild");
        }

        MakeDirectories(layout);
        WriteFirstHeader(layout, key);
    }

    private static void WriteFirstHeader(StoreLayout layout, StoreKey? key)
    {
        var header = new StoreHeader
        {
            Version = Version,
            StoreId = ByteString.CopyFrom(PackId.New().ToBytes()),
            CreatedUnixUs = (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond,
            KeySlot = key is null ? null : Snapshots.Vault.Make().Seal(key),
        };

        // A link does not replace: of two processes that make the store at once, the second takes the first one's.
        WriteHeader(layout, header, temporary =>
        {
            Libc.TryLink(temporary, layout.Header);
            File.Delete(temporary);
        });
        Libc.FlushDirectory(layout.Root);
        StoreHeader first = ReadHeader(layout.Header, layout) ?? header;
        WriteHeader(layout, first, temporary => Libc.Rename(temporary, layout.HeaderCopy));
        Libc.FlushDirectory(layout.Root);
    }

    private static void WriteHeader(StoreLayout layout, StoreHeader header, Action<string> publish)
    {
        using SafeFileHandle file = Libc.CreateLocked(() => StoreLayout.Temporary(layout.Root), out string temporary);
        Libc.Write(file, FrameFile.Build(HeaderMagic, [new Frame(FrameKind.Header, header.ToByteArray())]), 0, temporary);
        Libc.Flush(file, temporary);
        publish(temporary);
    }
}
