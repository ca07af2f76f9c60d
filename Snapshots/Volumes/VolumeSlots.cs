using System.Numerics;
using System.Text;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// Gives each file its room: that which it had, known by its inode, whatever its name is now; else that of the file which had its name; else new room.
/// </summary>
internal sealed class VolumeSlots
{
    private const long LeastRoom = 64 * 1024;

    // How much larger than the file its room is: what outgrows it is stored anew.
    private const int Spare = 16;

    private readonly Dictionary<ulong, VolumeSlot> _byInode = [];
    private readonly Dictionary<string, VolumeSlot> _byPath = new(StringComparer.Ordinal);

    /// <summary>Makes one.</summary>
    /// <param name="before">The entries of the parent's snapshot; none without one.</param>
    /// <param name="next">The first offset that no file has room at.</param>
    public VolumeSlots(IEnumerable<TreeEntry> before, long next)
    {
        Next = next;
        foreach (TreeEntry entry in before.Where(e => e.Room > 0 && e.Room <= (ulong)next && e.Data <= (ulong)next - e.Room && e.Size <= e.Room))
        {
            VolumeSlot slot = new((long)entry.Data, (long)entry.Room) { Before = entry };
            _byInode.TryAdd(entry.Inode, slot);
            _byPath.TryAdd(Encoding.Latin1.GetString(entry.Path.Span), slot);
        }
    }

    public long Next { get; private set; }

    /// <summary>Gives room to each of the files that needs some.</summary>
    /// <returns>What had room and has none any more.</returns>
    public List<VolumeSlot> Assign(IReadOnlyList<VolumeFile> files)
    {
        HashSet<VolumeSlot> taken = new(ReferenceEqualityComparer.Instance);
        foreach (VolumeFile file in files)
        {
            file.Slot = _byInode.TryGetValue(file.Facts.Inode, out VolumeSlot? slot) && slot.Room >= file.Facts.Size && taken.Add(slot) ? slot : null;
        }

        foreach (VolumeFile file in files.Where(f => f.Slot is null && f.Facts.Size > 0))
        {
            file.Slot = _byPath.TryGetValue(Encoding.Latin1.GetString(file.Relative), out VolumeSlot? slot) && slot.Room >= file.Facts.Size && taken.Add(slot)
                ? slot
                : New(file.Facts.Size);
            taken.Add(file.Slot);
        }

        List<VolumeSlot> left = [.. _byInode.Values.Concat(_byPath.Values).Distinct<VolumeSlot>(ReferenceEqualityComparer.Instance).Where(s => !taken.Contains(s))];
        _byInode.Clear();
        foreach (VolumeFile file in files.Where(f => f.Slot is not null))
        {
            _byInode[file.Facts.Inode] = file.Slot!;
        }

        return left;
    }

    private VolumeSlot New(long size)
    {
        long room = (long)Math.Min(1UL << 60, BitOperations.RoundUpToPowerOf2((ulong)Math.Max(size, LeastRoom / Spare)) * Spare);
        if (room < size || room > long.MaxValue - Next)
        {
            throw new SnapshotStoreException("volume.full", $"there is no room for {size} more bytes in the stream of a volume; forget the application's snapshots");
        }

        VolumeSlot slot = new(Next, room);
        Next += room;
        return slot;
    }
}
