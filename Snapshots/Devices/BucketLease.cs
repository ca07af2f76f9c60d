namespace Holdfast.Snapshots;

/// <summary>
/// Keeps those who send to a bucket and those who collect packs there apart, with nothing but files in it: a bucket has no locks.
/// </summary>
/// <remarks>
/// Each puts its own file and looks then for those of the other kind, so that of two at once at least one sees the other: a collector that sees a
/// sender gives up, a sender that sees a collector waits. A file that nobody renewed for its life is a dead one's and does not count. Its age is the
/// difference of two times by the bucket's clock; who holds it stops well before its life is over, by clocks of its own.
/// </remarks>
internal sealed class BucketLease : IAsyncDisposable
{
    internal const string Prefix = "leases/";

    /// <summary>After this a sender that did not renew its lease is taken for dead.</summary>
    internal static readonly TimeSpan SenderLife = TimeSpan.FromHours(24);

    /// <summary>After this a collector is taken for dead. It removes nothing after a third of it.</summary>
    internal static readonly TimeSpan CollectorLife = TimeSpan.FromMinutes(15);

    private const string Sending = "send-";
    private const string Collecting = "collect-";
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    private readonly IBlobContainer _container;
    private readonly TimeProvider _time;
    private readonly string _file;
    private readonly string _key;
    private readonly TimeSpan _life;
    private readonly CancellationTokenSource _given = new();
    private readonly Lock _lock = new();
    private Task _renewal = Task.CompletedTask;
    private long _put;
    private DateTimeOffset _putAt;

    private BucketLease(IBlobContainer container, SnapshotStore store, string kind, TimeSpan life)
    {
        _container = container;
        _time = store.Options.Time;
        _file = store.Layout.Header;
        _key = $"{Prefix}{kind}{PackId.New()}";
        _life = life;
    }

    /// <summary>Time since it was stored last, by whichever clock went further: one stands while the machine sleeps, the other can be set.</summary>
    private TimeSpan Age
    {
        get
        {
            lock (_lock)
            {
                TimeSpan passed = _time.GetElapsedTime(_put);
                TimeSpan shown = (_time.GetUtcNow() - _putAt).Duration();
                return passed > shown ? passed : shown;
            }
        }
    }

    /// <summary>Takes the lease of a sender; waits while packs are being collected.</summary>
    internal static async Task<BucketLease> ForSendingAsync(IBlobContainer container, SnapshotStore store, CancellationToken cancel)
    {
        var lease = new BucketLease(container, store, Sending, SenderLife);
        try
        {
            await lease.PutAsync(cancel).ConfigureAwait(false);
            while (await lease.LiveAsync(Collecting, CollectorLife, cancel).ConfigureAwait(false) > 0)
            {
                await Task.Delay(s_look, lease._time, cancel).ConfigureAwait(false);
            }

            lease._renewal = lease.RenewAsync();
            return lease;
        }
        catch
        {
            await lease.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Takes the lease of the one collector.</summary>
    /// <exception cref="SnapshotStoreException">Somebody sends, or another collects (<c>device.busy</c>).</exception>
    internal static async Task<BucketLease> ForCollectingAsync(IBlobContainer container, SnapshotStore store, CancellationToken cancel)
    {
        var lease = new BucketLease(container, store, Collecting, CollectorLife);
        try
        {
            await lease.PutAsync(cancel).ConfigureAwait(false);
            int senders = await lease.LiveAsync(Sending, SenderLife, cancel).ConfigureAwait(false);
            int others = await lease.LiveAsync(Collecting, CollectorLife, cancel).ConfigureAwait(false);
            return senders + others == 0 ? lease : throw new SnapshotStoreException(
                "device.busy",
                senders > 0
                    ? $"snapshots are being sent to {container.Name} ({senders} under way; one that died counts for {SenderLife.TotalHours:0} hours): nothing is collected meanwhile"
                    : $"{container.Name} is being collected already");
        }
        catch
        {
            await lease.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A sender's: makes sure that it counts.</summary>
    /// <exception cref="SnapshotStoreException">It was not renewed in time, and packs may have gone (<c>device.busy</c>): begin again.</exception>
    internal void ThrowIfLate()
    {
        if (Age is var age && age > _life / 2)
        {
            throw new SnapshotStoreException("device.busy", $"sending to {_container.Name} stood still for {age.TotalHours:0} hours, and packs may have been collected meanwhile; begin again");
        }
    }

    /// <summary>A collector's: false when it is late, and nothing more may be removed.</summary>
    internal bool MayRemove => Age < _life / 3;

    /// <summary>Gives it back.</summary>
    public async ValueTask DisposeAsync()
    {
        await _given.CancelAsync().ConfigureAwait(false);
        await _renewal.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        try
        {
            await _container.DeleteAsync(_key, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SnapshotStoreException or OperationCanceledException)
        {
            // It ends by itself.
        }

        _given.Dispose();
    }

    private async Task RenewAsync()
    {
        while (true)
        {
            await Task.Delay(_life / 24, _time, _given.Token).ConfigureAwait(false);
            try
            {
                await PutAsync(_given.Token).ConfigureAwait(false);
            }
            catch (SnapshotStoreException)
            {
                // It is tried again; who sends finds out when it is late.
            }
        }
    }

    private async Task PutAsync(CancellationToken cancel)
    {
        // The time before it is stored: it is never thought to be younger than it is.
        (long put, DateTimeOffset putAt) = (_time.GetTimestamp(), _time.GetUtcNow());
        await _container.PutAsync(_key, _file, cancel).ConfigureAwait(false);
        lock (_lock)
        {
            (_put, _putAt) = (put, putAt);
        }
    }

    /// <summary>How many others of a kind there are that count. Those of the dead are removed.</summary>
    private async Task<int> LiveAsync(string kind, TimeSpan life, CancellationToken cancel)
    {
        List<Blob> all = [];
        await foreach (Blob blob in _container.ListAsync(Prefix, cancel).ConfigureAwait(false))
        {
            all.Add(blob);
        }

        // By the bucket's clock, as old as this one is by ours.
        DateTimeOffset now = all.FirstOrDefault(b => b.Key == _key) is { Key: not null } own
            ? own.Modified + Age
            : throw new SnapshotStoreException("device.busy", $"the lease {_key} in {_container.Name} went away; begin again");
        int live = 0;
        foreach (Blob other in all.Where(b => b.Key != _key && b.Key.StartsWith(Prefix + kind, StringComparison.Ordinal)))
        {
            if (now - other.Modified < life)
            {
                live++;
            }
            else
            {
                await _container.DeleteAsync(other.Key, cancel).ConfigureAwait(false);
            }
        }

        return live;
    }
}
