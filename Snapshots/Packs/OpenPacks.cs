using System.Text;

namespace Holdfast.Snapshots;

/// <summary>
/// The packs of a store that are open in this process, shared by all that read: the index of a large pack takes a mebibyte for each gibibyte, and one
/// after the other that read the same packs would have to read it again. A pack that nobody uses any more is let go of after a moment, for its
/// space comes back only then when it is removed.
/// </summary>
internal sealed class OpenPacks : IDisposable
{
    private const int MostIdle = 512;

    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly string _directory;
    private readonly Func<Vault?> _vault;
    private readonly Dictionary<PackId, Entry> _current = [];
    private readonly WeakReference<LeafCache?> _lastLeaves = new(null);
    private Timer? _timer;
    private int _idle;
    private int _leafUsers;

    /// <param name="directory">Where the packs are.</param>
    /// <param name="vault">The keys that new readers are opened with.</param>
    internal OpenPacks(string directory, Func<Vault?> vault)
    {
        _directory = directory;
        _vault = vault;
    }

    /// <summary>Leaves of extent tables in these packs that stay decoded; null while nobody wants that.</summary>
    internal LeafCache? Leaves { get; private set; }

    /// <summary>Keeps leaves until the last of those who wanted it disposes of the result; the garbage collector takes them then.</summary>
    internal IDisposable KeepLeaves()
    {
        lock (_lock)
        {
            _leafUsers++;
            if (Leaves is null)
            {
                Leaves = _lastLeaves.TryGetTarget(out LeafCache? last) ? last : new LeafCache();
                _lastLeaves.SetTarget(Leaves);
            }

            return new LeafUse(this);
        }
    }

    /// <summary>Opens a pack or joins those who have it open. To be given back with <see cref="Release"/>.</summary>
    /// <exception cref="SnapshotDamagedException">It is missing, cut off or altered.</exception>
    internal Entry Acquire(PackId id)
    {
        // What is on the disk decides: a pack that was altered since is read anew.
        FileFacts? facts = Posix.Status(Encoding.UTF8.GetBytes(Path.Combine(_directory, id + PackFormat.Extension)));
        lock (_lock)
        {
            if (_current.TryGetValue(id, out Entry? open))
            {
                if (facts is { } now && open.IsOf(now))
                {
                    _idle -= open.Users++ == 0 ? 1 : 0;
                    return open;
                }

                Forget(open);
            }
        }

        var made = new Entry(new PackReader(_directory, id, _vault()), facts) { Users = 1 };
        lock (_lock)
        {
            if (!_current.TryAdd(id, made))
            {
                // Somebody else was faster: both have their own.
                made.IsCurrent = false;
            }
        }

        return made;
    }

    /// <summary>Gives a pack back.</summary>
    internal void Release(Entry entry)
    {
        lock (_lock)
        {
            if (--entry.Users > 0)
            {
                return;
            }

            if (!entry.IsCurrent)
            {
                entry.Pack.Dispose();
                return;
            }

            entry.IdleSince = Environment.TickCount64;
            if (++_idle > MostIdle)
            {
                DropIdle(TimeSpan.Zero);
            }

            _timer ??= new Timer(static packs => ((OpenPacks)packs!).LetGo(), this, Moment, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Lets go of all that nobody uses.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            DropIdle(TimeSpan.Zero);
        }
    }

    private void LetGo()
    {
        lock (_lock)
        {
            DropIdle(Moment);
            _timer?.Dispose();
            _timer = _idle == 0 ? null : new Timer(static packs => ((OpenPacks)packs!).LetGo(), this, Moment, Timeout.InfiniteTimeSpan);
        }
    }

    private void DropIdle(TimeSpan longerThan)
    {
        long since = Environment.TickCount64 - (long)longerThan.TotalMilliseconds;
        foreach (Entry entry in _current.Values.Where(e => e.Users == 0 && e.IdleSince <= since).ToList())
        {
            Forget(entry);
        }
    }

    private void Forget(Entry entry)
    {
        entry.IsCurrent = false;
        _current.Remove(entry.Pack.Id);
        if (_lastLeaves.TryGetTarget(out LeafCache? leaves))
        {
            leaves.Remove(entry.Pack.Id);
        }

        if (entry.Users == 0)
        {
            _idle--;
            entry.Pack.Dispose();
        }
    }

    private sealed class LeafUse(OpenPacks packs) : IDisposable
    {
        private OpenPacks? _packs = packs;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _packs, null) is { } of)
            {
                lock (of._lock)
                {
                    of.Leaves = --of._leafUsers == 0 ? null : of.Leaves;
                }
            }
        }
    }

    /// <summary>A pack that is open.</summary>
    internal sealed class Entry(PackReader pack, FileFacts? facts)
    {
        internal PackReader Pack { get; } = pack;

        internal int Users { get; set; }

        /// <summary>False: the next who asks gets another.</summary>
        internal bool IsCurrent { get; set; } = true;

        /// <summary>On the clock of <see cref="Environment.TickCount64"/>.</summary>
        internal long IdleSince { get; set; }

        internal bool IsOf(FileFacts now) => facts is { } then && (then.FileSystem, then.Inode, then.Size, then.ModifiedSeconds, then.ModifiedNanoseconds)
            == (now.FileSystem, now.Inode, now.Size, now.ModifiedSeconds, now.ModifiedNanoseconds);
    }
}
