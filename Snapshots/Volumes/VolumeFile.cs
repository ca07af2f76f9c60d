using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>A regular file of a volume, as one look at the directory found it; of several names of a file only the first.</summary>
/// <param name="Path">Its whole path.</param>
/// <param name="Relative">Its path below the volume.</param>
/// <param name="Facts">What it was.</param>
internal sealed record VolumeFile(byte[] Path, byte[] Relative, FileFacts Facts)
{
    /// <summary>Where its bytes go; null for an empty one that never had any.</summary>
    public VolumeSlot? Slot { get; set; }

    /// <summary>The entry to be stored; only of the look inside the barrier.</summary>
    public TreeEntry? Entry { get; init; }
}

/// <summary>
/// The room of a file in the stream of data. It stays the same from snapshot to snapshot, so that what did not change of a file is found at the same place;
/// it is larger than the file, so that a growing one need not move.
/// </summary>
/// <param name="Offset">First offset, a multiple of 4096.</param>
/// <param name="Room">Bytes.</param>
internal sealed record VolumeSlot(long Offset, long Room)
{
    /// <summary>What the parent's snapshot says of the file that has it there.</summary>
    public TreeEntry? Before { get; init; }

    /// <summary>What the file was before it was copied, while the application ran; null when it was not.</summary>
    public FileFacts? Copied { get; set; }

    /// <summary>A digest of each block that was copied; null when the file was taken over from the parent unread.</summary>
    public UInt128[]? Digests { get; set; }

    /// <summary>The size of those blocks.</summary>
    public int BlockSize { get; set; }
}
