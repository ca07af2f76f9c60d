using System.Collections.Concurrent;

namespace Holdfast.Snapshots;

/// <summary>Remembers the content digest of the last snapshot of each object, to bring it forward instead of reading everything again.</summary>
internal sealed class DigestCache(SnapshotStore store)
{
    private readonly ConcurrentDictionary<string, Slot> _slots = new(StringComparer.Ordinal);

    /// <summary>The digest of a snapshot; reads all of it when it is not remembered.</summary>
    internal byte[] Of(SnapshotReader snapshot)
    {
        Slot slot = For(snapshot.Info.Object);
        lock (slot.Lock)
        {
            if (slot.Digest is null || slot.Id != snapshot.Info.Id)
            {
                slot.Digest = ContentDigest.Of(snapshot);
                slot.Id = snapshot.Info.Id;
            }

            return slot.Digest.Value();
        }
    }

    /// <summary>The digest of a snapshot that differs from another in known ranges.</summary>
    internal byte[] Advance(SnapshotInfo? from, SnapshotReader to, IReadOnlyDictionary<string, IReadOnlyList<StreamRun>> touched)
    {
        Slot slot = For(to.Info.Object);
        lock (slot.Lock)
        {
            if (slot.Digest is not null && slot.Id == to.Info.Id)
            {
                return slot.Digest.Value();
            }

            ContentDigest? digest = slot.Id == from?.Id ? slot.Digest : null;
            slot.Digest = null;
            if (digest is null && from is not null)
            {
                using SnapshotReader reader = store.OpenSnapshot(from);
                digest = ContentDigest.Of(reader);
            }

            digest ??= ContentDigest.Empty();
            digest.Advance(to, touched);
            (slot.Id, slot.Digest) = (to.Info.Id, digest);
            return digest.Value();
        }
    }

    /// <summary>Forgets what is remembered of an object.</summary>
    internal void Drop(string objectName) => _slots.TryRemove(objectName, out _);

    private Slot For(string objectName) => _slots.GetOrAdd(objectName, static _ => new Slot());

    private sealed class Slot
    {
        internal Lock Lock { get; } = new();

        internal string? Id { get; set; }

        internal ContentDigest? Digest { get; set; }
    }
}
