using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>Reads one snapshot. Every byte that it hands out was verified. Several threads may use it at once.</summary>
public sealed class SnapshotReader : IDisposable
{
    private readonly SafeFileHandle? _manifest;
    private readonly Dictionary<string, ExtentTable> _tables;
    private readonly StreamInfo[] _streams;
    private readonly bool _ownsPacks;
    private Task? _ahead;
    private volatile bool _disposed;

    internal SnapshotReader(SnapshotStore store, string objectName, string id)
        : this(store, store.Layout.Manifest(store.EncodeName(objectName), id), objectName, id)
    {
    }

    /// <summary>Opens a manifest wherever it is; what is not known of it is taken from it.</summary>
    internal SnapshotReader(SnapshotStore store, string path, string? objectName, string? id, PackCache? shared = null)
    {
        string address = $"{objectName ?? "?"}@{id ?? "?"}";
        SafeFileHandle manifest = Libc.TryOpen(path) ?? throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {address} in {store.Directory}");
        PackCache packs = shared ?? new PackCache(store.OpenPacks);
        _ownsPacks = shared is null;
        try
        {
            // While the lock is held, garbage collection keeps what the manifest refers to, even when the snapshot is forgotten.
            Libc.Lock(manifest, Libc.LockShared, path);
            if (!File.Exists(path))
            {
                throw new SnapshotStoreException("snapshot.unknown", $"the snapshot {address} was just forgotten");
            }

            (SnapshotHeader header, ManifestRoot root, ReadOnlyMemory<byte> state) = ManifestFile.Read(manifest, path, objectName, id, store.Vault);
            Info = ManifestFile.ToInfo(header);
            State = state;
            (_tables, _streams) = Decode(root, packs, path);
        }
        catch (SnapshotDamagedException e)
        {
            Release(packs, manifest);
            throw new SnapshotDamagedException(address, null, 0, e);
        }
        catch
        {
            Release(packs, manifest);
            throw;
        }

        _manifest = manifest;
        Packs = packs;
    }

    /// <summary>Reads a snapshot whose manifest is not written yet; its packs are.</summary>
    internal SnapshotReader(SnapshotStore store, SnapshotInfo info, ManifestRoot root, ReadOnlyMemory<byte> state)
    {
        Info = info;
        State = state;
        Packs = new PackCache(store.OpenPacks);
        _ownsPacks = true;
        (_tables, _streams) = Decode(root, Packs, "a new manifest");
    }

    /// <summary>What a listing shows of it.</summary>
    public SnapshotInfo Info { get; }

    /// <summary>The structured state that was given to <see cref="SnapshotWriter.SetState"/>; empty when none was.</summary>
    public ReadOnlyMemory<byte> State { get; }

    /// <summary>The streams in ordinal order of their names.</summary>
    public IReadOnlyList<StreamInfo> Streams => _streams;

    internal PackCache Packs { get; }

    internal IEnumerable<ExtentTable> Tables => _tables.Values;

    internal ExtentTable? Table(string stream) => _tables.GetValueOrDefault(stream);

    /// <summary>Where the bytes of a stream are stored, ascending; empty for a stream that does not exist. Equal places hold equal bytes.</summary>
    /// <exception cref="SnapshotDamagedException">Its extent table cannot be read.</exception>
    public IReadOnlyList<StreamPlace> Places(string stream)
    {
        try
        {
            return [.. (Table(stream)?.All() ?? []).Select(extent => new StreamPlace(
                extent.Offset, extent.Length, extent.Pack.Value, extent.Encoded ? extent.Position : -1, extent.Encoded ? extent.Skip : extent.Position))];
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, 0, e);
        }
    }

    /// <summary>The stored runs of a stream, ascending, neighbours joined; empty for a stream that does not exist.</summary>
    /// <exception cref="SnapshotDamagedException">Its extent table cannot be read.</exception>
    public IReadOnlyList<StreamRun> Runs(string stream)
    {
        var runs = new List<StreamRun>();
        if (!_tables.TryGetValue(stream, out ExtentTable? table))
        {
            return runs;
        }

        long at = 0;
        try
        {
            foreach (Extent extent in table.All())
            {
                at = extent.End;
                if (runs.Count > 0 && runs[^1].End == extent.Offset)
                {
                    runs[^1] = runs[^1] with { Length = runs[^1].Length + extent.Length };
                }
                else
                {
                    runs.Add(new StreamRun(extent.Offset, extent.Length));
                }
            }
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, at, e);
        }

        return runs;
    }

    /// <summary>The runs of a stream inside a range, clipped to it.</summary>
    internal List<StreamRun> RunsIn(string stream, long from, long to)
    {
        var runs = new List<StreamRun>();
        try
        {
            foreach (Extent extent in Table(stream)?.Range(from, to) ?? [])
            {
                if (runs.Count > 0 && runs[^1].End == extent.Offset)
                {
                    runs[^1] = runs[^1] with { Length = runs[^1].Length + extent.Length };
                }
                else
                {
                    runs.Add(new StreamRun(extent.Offset, extent.Length));
                }
            }
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, from, e);
        }

        return runs;
    }

    /// <summary>Reads what a stream has in a range, verified.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="from">Where the range begins.</param>
    /// <param name="into">Where to; its length is that of the range. Bytes of holes are not touched.</param>
    /// <returns>The runs that it has there, ascending, neighbours joined.</returns>
    internal List<StreamRun> ReadIn(string stream, long from, Span<byte> into)
    {
        var runs = new List<StreamRun>();
        long at = from;
        try
        {
            foreach (Extent extent in Table(stream)?.Range(from, from + into.Length) ?? [])
            {
                at = extent.Offset;
                ReadExtent(extent, into.Slice((int)(at - from), (int)extent.Length));
                if (runs.Count > 0 && runs[^1].End == at)
                {
                    runs[^1] = runs[^1] with { Length = runs[^1].Length + extent.Length };
                }
                else
                {
                    runs.Add(new StreamRun(at, extent.Length));
                }
            }
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, at, e);
        }

        return runs;
    }

    /// <summary>Reads bytes of a stream, verified. The range lies inside one of the <see cref="Runs"/>.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="into">Where to; filled, or an exception is thrown and its contents mean nothing.</param>
    /// <exception cref="SnapshotDamagedException">They are damaged: names snapshot, stream, offset, pack and position.</exception>
    /// <exception cref="SnapshotStoreException">A byte of the range is not stored (<c>range.hole</c>).</exception>
    public void Read(string stream, long offset, Span<byte> into)
    {
        long at = offset;
        try
        {
            if (_tables.TryGetValue(stream, out ExtentTable? table))
            {
                foreach (Extent extent in table.Range(offset, offset + into.Length))
                {
                    if (extent.Offset != at)
                    {
                        break;
                    }

                    ReadExtent(extent, into.Slice((int)(at - offset), (int)extent.Length));
                    at = extent.End;
                }
            }
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, at, e);
        }

        if (at != offset + into.Length)
        {
            throw new SnapshotStoreException("range.hole", $"snapshot {Info.Address} has no byte at offset {at} of stream {stream}");
        }
    }

    /// <summary>Reads extents of a stream one after the other into one buffer, verified. Those that lie side by side in a pack are read at once.</summary>
    internal void Read(string stream, ReadOnlySpan<Extent> extents, Span<byte> into)
    {
        while (extents.Length > 0)
        {
            int count = 1;
            long length = extents[0].Length;
            while (count < extents.Length && !extents[0].Encoded && !extents[count].Encoded
                && extents[count].Pack == extents[0].Pack && extents[count].Position == extents[0].Position + length)
            {
                length += extents[count++].Length;
            }

            try
            {
                ReadExtent(extents[0] with { Length = length }, into[..(int)length]);
            }
            catch (SnapshotDamagedException) when (count > 1)
            {
                // Which of them it is has to be said.
                ReadSingly(stream, extents[..count], into);
            }
            catch (SnapshotDamagedException e)
            {
                throw new SnapshotDamagedException(Info.Address, stream, extents[0].Offset, e);
            }

            extents = extents[count..];
            into = into[(int)length..];
        }
    }

    private void ReadSingly(string stream, ReadOnlySpan<Extent> extents, Span<byte> into)
    {
        foreach (ref readonly Extent extent in extents)
        {
            Read(stream, new ReadOnlySpan<Extent>(in extent), into[..(int)extent.Length]);
            into = into[(int)extent.Length..];
        }
    }

    /// <summary>Adds the extents, clipped, that a range of a stream consists of.</summary>
    /// <returns>False when some byte of the range is not stored: then none is added.</returns>
    internal bool TryAddExtents(string stream, long from, long to, List<Extent> into)
    {
        int before = into.Count;
        long missing = to - from;
        try
        {
            missing -= Table(stream)?.AddTo(into, from, to) ?? 0;
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(Info.Address, stream, from, e);
        }

        if (missing != 0)
        {
            into.RemoveRange(before, into.Count - before);
        }

        return missing == 0;
    }

    private void ReadExtent(in Extent extent, Span<byte> into) => Packs.Get(extent.Pack).Read(extent.Position, extent.Skip, into);

    /// <summary>
    /// Begins to open what the streams lie in, beside what the caller does before it reads from them: to read and verify the index of a pack of some GiB takes tens of
    /// milliseconds. What is wrong with it is said by whoever reads.
    /// </summary>
    public void OpenAhead() => _ahead ??= Task.Run(() =>
    {
        HashSet<PackId> opened = [];
        try
        {
            foreach (Extent extent in _tables.Values.SelectMany(table => table.All()).TakeWhile(_ => !_disposed))
            {
                if (opened.Add(extent.Pack))
                {
                    _ = Packs.Get(extent.Pack);
                }
            }
        }
        catch (Exception e) when (e is SnapshotStoreException or IOException)
        {
            // Whoever reads there will have it too.
        }
    });

    /// <summary>Lets go of the snapshot.</summary>
    public void Dispose()
    {
        _disposed = true;
        if (_ahead is not null)
        {
            _ = Task.WaitAny(_ahead);
        }

        Release(Packs, _manifest);
    }

    private static (Dictionary<string, ExtentTable> Tables, StreamInfo[] Streams) Decode(ManifestRoot root, PackCache packs, string path)
    {
        PackId[] leafPacks = ExtentLeafCodec.DecodePacks(root.Packs) ?? throw new SnapshotDamagedException(path, 0, "a pack id is not possible");
        var tables = new Dictionary<string, ExtentTable>(root.Streams.Count, StringComparer.Ordinal);
        var streams = new StreamInfo[root.Streams.Count];
        for (int i = 0; i < streams.Length; i++)
        {
            var table = new ExtentTable(root.Streams[i], leafPacks, packs, path);
            tables[table.Name] = table;
            streams[i] = new StreamInfo(table.Name, table.Bytes, table.Count);
        }

        return (tables, streams);
    }

    private void Release(PackCache packs, SafeFileHandle? manifest)
    {
        if (_ownsPacks)
        {
            packs.Dispose();
        }

        manifest?.Dispose();
    }
}
