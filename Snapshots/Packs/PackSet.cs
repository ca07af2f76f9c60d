namespace Holdfast.Snapshots;

/// <summary>
/// The packs that one writer fills: one, and further ones beside it once there is much to write and several threads write at the same time. A file system lets one of them at a
/// time write to a file (the inode's lock, inode_lock of mm/filemap.c and mm/shmem.c), so that one file is not written faster by two processors.
/// </summary>
/// <param name="store">Where they are.</param>
internal sealed class PackSet(SnapshotStore store) : IDisposable
{
    /// <summary>A pack is begun for each so many bytes at most: small snapshots stay one file.</summary>
    private const long WorthPack = 32 << 20;

    private const int Most = 4;

    private readonly Lock _lock = new();
    private readonly Lane?[] _lanes = new Lane?[Math.Min(Most, Environment.ProcessorCount)];
    private SpaceBudget? _budget;

    /// <summary>Bytes in all of them; see <see cref="PackWriter.Stored"/>.</summary>
    internal long Stored => Packs.Sum(pack => pack.Stored);

    /// <summary>Whether anything was written.</summary>
    internal bool IsEmpty => Volatile.Read(ref _lanes[0]) is null;

    private IEnumerable<PackWriter> Packs => _lanes.OfType<Lane>().Select(lane => lane.Pack);

    /// <summary>The first one, which is made when it is needed: for tables, and for what is small or encoded.</summary>
    internal PackWriter First => (Volatile.Read(ref _lanes[0]) ?? Begin(0)).Pack;

    /// <summary>Writes into this one first.</summary>
    internal void Use(PackWriter pack) => _lanes[0] = new Lane(pack);

    /// <summary>Stores bytes as they are, in a pack into which nobody else writes, if there is one.</summary>
    /// <returns>The pack and the position in it; see <see cref="PackWriter.WriteRaw"/>.</returns>
    internal (PackId Pack, long Position) WriteRaw(ReadOnlySpan<byte> data)
    {
        if (data.Length < PackWriter.SmallWrite)
        {
            return (First.Id, First.WriteRaw(data));
        }

        Lane lane = Take();
        try
        {
            return (lane.Pack.Id, lane.Pack.WriteRaw(data));
        }
        finally
        {
            Interlocked.Decrement(ref lane.Writers);
        }
    }

    /// <summary>Finishes all, and gives them their names.</summary>
    /// <param name="directory">Where to.</param>
    internal void Publish(string directory)
    {
        foreach (PackWriter pack in Packs)
        {
            pack.Finish();
        }

        foreach (PackWriter pack in Packs)
        {
            pack.Publish(directory);
        }
    }

    /// <summary>Removes those that were published and then not wanted.</summary>
    internal void Withdraw()
    {
        foreach (PackWriter pack in Packs)
        {
            pack.Withdraw();
        }
    }

    /// <summary>Lets go of the files; removes what was not published.</summary>
    public void Dispose()
    {
        foreach (PackWriter pack in Packs)
        {
            pack.Dispose();
        }
    }

    /// <summary>The pack that this thread wrote to before comes first, so that what belongs together lies together.</summary>
    private Lane Take()
    {
        int thread = Environment.CurrentManagedThreadId;
        for (int i = 0; i < _lanes.Length; i++)
        {
            if (Volatile.Read(ref _lanes[i]) is { } own && own.Thread == thread && own.TryEnter(thread))
            {
                return own;
            }
        }

        for (int i = 0; i < _lanes.Length; i++)
        {
            Lane? lane = Volatile.Read(ref _lanes[i]) ?? (i == 0 || Stored >= i * WorthPack ? Begin(i) : null);
            if (lane is null)
            {
                break;
            }

            if (lane.TryEnter(thread))
            {
                return lane;
            }
        }

        Lane first = _lanes[0]!;
        Interlocked.Increment(ref first.Writers);
        return first;
    }

    private Lane Begin(int number)
    {
        lock (_lock)
        {
            if (_lanes[number] is { } known)
            {
                return known;
            }

            Lane lane = new(new PackWriter(store.Layout.Packs, store.Vault, _budget ??= new SpaceBudget(store)));
            Volatile.Write(ref _lanes[number], lane);
            return lane;
        }
    }

    /// <summary>One of the packs, and who is at it.</summary>
    private sealed class Lane(PackWriter pack)
    {
        internal int Writers;

        internal PackWriter Pack { get; } = pack;

        /// <summary>Who wrote to it last.</summary>
        internal int Thread { get; private set; }

        internal bool TryEnter(int thread)
        {
            if (Interlocked.CompareExchange(ref Writers, 1, 0) != 0)
            {
                return false;
            }

            Thread = thread;
            return true;
        }
    }
}
