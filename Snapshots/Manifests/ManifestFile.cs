using Google.Protobuf;
using Google.Protobuf.Reflection;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>Manifests as files: framing, and the mapping between their header and <see cref="SnapshotInfo"/>.</summary>
internal static class ManifestFile
{
    internal const uint Version = 1;

    private static readonly MessageParser<SnapshotHeader> knownOnly = SnapshotHeader.Parser.WithDiscardUnknownFields(true);

    internal static ReadOnlySpan<byte> Magic => "HFSNAP1\n"u8;

    internal static SnapshotHeader ToHeader(SnapshotInfo info)
    {
        var header = new SnapshotHeader
        {
            Version = Version,
            Object = info.Object,
            Id = info.Id,
            Kind = info.Kind,
            Parent = info.Parent ?? string.Empty,
            CreatedUnixUs = ToMicroseconds(info.CreatedAt),
            LogicalBytes = (ulong)info.LogicalBytes,
            StoredBytes = (ulong)info.StoredBytes,
            NewBytes = (ulong)info.NewBytes,
            Extents = (ulong)info.Extents,
        };
        foreach ((string name, string value) in info.Tags.OrderBy(t => t.Key, StringComparer.Ordinal))
        {
            header.Tags.Add(new Tag { Name = name, Value = value });
        }

        // This program does not know them, and so takes them as what it does not know.
        header.MergeFrom(info.UnknownFields);
        return header;
    }

    internal static SnapshotInfo ToInfo(SnapshotHeader header)
    {
        var tags = new Dictionary<string, string>(header.Tags.Count);
        foreach (Tag tag in header.Tags)
        {
            tags[tag.Name] = tag.Value;
        }

        return new SnapshotInfo
        {
            Object = header.Object,
            Id = header.Id,
            Kind = header.Kind,
            Parent = header.Parent.Length == 0 ? null : header.Parent,
            CreatedAt = FromMicroseconds(header.CreatedUnixUs),
            Tags = tags,
            LogicalBytes = (long)header.LogicalBytes,
            StoredBytes = (long)header.StoredBytes,
            NewBytes = (long)header.NewBytes,
            Extents = (long)header.Extents,
            UnknownFields = UnknownFields(header),
        };
    }

    private static ByteString UnknownFields(SnapshotHeader header)
    {
        // There are none as a rule; and what is asked below makes the library compose its description of the form first, for milliseconds.
        byte[] all = header.ToByteArray();
        if (knownOnly.ParseFrom(all).CalculateSize() == all.Length)
        {
            return ByteString.Empty;
        }

        SnapshotHeader rest = header.Clone();
        foreach (FieldDescriptor field in SnapshotHeader.Descriptor.Fields.InFieldNumberOrder())
        {
            field.Accessor.Clear(rest);
        }

        return rest.ToByteString();
    }

    internal static byte[] Build(SnapshotHeader header, ManifestRoot root, ReadOnlyMemory<byte> state, Vault? vault) => FrameFile.Build(
        Magic,
        [new Frame(FrameKind.Header, header.ToByteArray()), new Frame(FrameKind.Root, root.ToByteArray()), new Frame(FrameKind.State, state)],
        vault);

    /// <summary>Reads only what a listing shows. Without an object's name, any is taken.</summary>
    /// <exception cref="SnapshotDamagedException">It is not the manifest that belongs at this path.</exception>
    internal static SnapshotHeader ReadHeader(SafeFileHandle file, string path, string? objectName, string? id, Vault? vault)
    {
        List<Frame> frames = FrameFile.Read(file, path, Magic, FrameKind.Header, vault);
        return CheckHeader(frames, path, objectName, id);
    }

    /// <summary>Reads and verifies all of it.</summary>
    /// <exception cref="SnapshotDamagedException">It is not the manifest that belongs at this path.</exception>
    internal static (SnapshotHeader Header, ManifestRoot Root, ReadOnlyMemory<byte> State) Read(SafeFileHandle file, string path, string? objectName, string? id, Vault? vault)
    {
        List<Frame> frames = FrameFile.Read(file, path, Magic, vault: vault);
        SnapshotHeader header = CheckHeader(frames, path, objectName, id);
        if (frames.Count < 3 || frames[1].Kind != FrameKind.Root || frames[2].Kind != FrameKind.State)
        {
            throw new SnapshotDamagedException(path, 0, "the frames HEAD, ROOT and STAT are expected");
        }

        return (header, FrameFile.Parse(ManifestRoot.Parser, frames[1].Payload.Span, path, Magic.Length), frames[2].Payload);
    }

    private static SnapshotHeader CheckHeader(List<Frame> frames, string path, string? objectName, string? id)
    {
        if (frames.Count == 0 || frames[0].Kind != FrameKind.Header)
        {
            throw new SnapshotDamagedException(path, 0, "a HEAD frame is expected first");
        }

        SnapshotHeader header = FrameFile.Parse(SnapshotHeader.Parser, frames[0].Payload.Span, path, Magic.Length);
        if (header.Version == 0 || header.Version > Version)
        {
            throw new SnapshotStoreException("store.version", $"{path} has version {header.Version}; this program reads up to {Version}; use a newer one");
        }

        if ((objectName is not null && header.Object != objectName) || (id is not null && header.Id != id))
        {
            throw new SnapshotDamagedException(path, 0, $"the manifest of {objectName ?? "any object"}@{id ?? "any id"} expected, that of {header.Object}@{header.Id} found");
        }

        if (!SnapshotId.IsValid(header.Id))
        {
            throw new SnapshotDamagedException(path, 0, "the header's id is not possible");
        }

        const ulong Limit = long.MaxValue;
        if (header.LogicalBytes > Limit || header.StoredBytes > Limit || header.NewBytes > Limit || header.Extents > Limit
            || header.CreatedUnixUs is < -62135596800000000 or > 253402300799999999)
        {
            throw new SnapshotDamagedException(path, 0, "the header's numbers are not possible");
        }

        return header;
    }

    private static long ToMicroseconds(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;

    private static DateTimeOffset FromMicroseconds(long microseconds) => DateTimeOffset.UnixEpoch.AddTicks(microseconds * TimeSpan.TicksPerMicrosecond);
}
