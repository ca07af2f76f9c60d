namespace Holdfast.Snapshots;

/// <summary>
/// Brings the snapshots of a storage object from a device into a store, each as the difference against the nearest snapshot that the store has by then.
/// Doing it again fetches only what is missing, also of a snapshot that was interrupted.
/// </summary>
public sealed class Retrieval
{
    /// <summary>A connection that brought more than this before it broke brought a record.</summary>
    private const int Progress = 1024 * 1024;

    private readonly IStorageDevice _source;
    private readonly SnapshotStore _destination;
    private readonly MigrationOptions _options;
    private int _interruptions;

    /// <summary>Makes one.</summary>
    /// <param name="source">The device that has the snapshots.</param>
    /// <param name="destination">Where they are to be.</param>
    /// <param name="options">Defaults when null. They come one after the other, whatever is said about parallel sending.</param>
    public Retrieval(IStorageDevice source, SnapshotStore destination, MigrationOptions? options = null)
    {
        _source = source;
        _destination = destination;
        _options = options ?? new MigrationOptions();
    }

    /// <summary>Plans: which snapshots are missing here, in which order they come, and against which base. How many bytes that takes only the device knows.</summary>
    public async Task<MigrationPlan> PlanAsync(string objectName, CancellationToken cancel = default)
    {
        IReadOnlyList<SnapshotInfo> there = [.. (await _source.ListAsync(objectName, cancel).ConfigureAwait(false)).Where(s => s.Damage is null)];
        IReadOnlyList<SnapshotInfo> own = _destination.List(objectName);
        SnapshotInfo.RequireNoConflict(own, there);
        HashSet<string> here = [.. own.Where(s => s.Damage is null).Select(s => s.Id)];
        List<SnapshotInfo> common = [.. there.Where(s => here.Contains(s.Id))];
        List<SnapshotInfo> missing = [.. there.Where(s => !here.Contains(s.Id) && (_options.Only is null || _options.Only.Contains(s.Id)))];
        int alreadyHere = common.Count;
        if (_options.Order == MigrationOrder.Reverse)
        {
            missing.Reverse();
        }

        var steps = new List<MigrationStep>();
        foreach (SnapshotInfo snapshot in missing)
        {
            SnapshotInfo? parent = common.FirstOrDefault(s => s.Id == snapshot.Parent);
            SnapshotInfo? nearest = parent ?? common.MinBy(s => (s.CreatedAt - snapshot.CreatedAt).Duration());
            steps.Add(nearest is null
                ? new MigrationStep(snapshot, null, snapshot.LogicalBytes, "there is no snapshot of this object here: in full")
                : new MigrationStep(snapshot, nearest, snapshot.NewBytes, nearest == parent ? "its parent" : "the nearest snapshot by time"));
            common.Add(snapshot);
        }

        return new MigrationPlan(objectName, steps, alreadyHere, here.Count(id => there.All(s => s.Id != id)));
    }

    /// <summary>Fetches everything that is missing here.</summary>
    /// <exception cref="SnapshotStoreException">A snapshot cannot be read or written, or the connection broke. What was completed stays.</exception>
    public async Task<MigrationReport> RunAsync(string objectName, CancellationToken cancel = default)
    {
        MigrationPlan plan = await PlanAsync(objectName, cancel).ConfigureAwait(false);
        var limit = new RateLimit(_options.BytesPerSecond);
        string owner = $"fetching from {_source.Name}";
        long fetched = 0;
        for (int i = 0; i < plan.Steps.Count; i++)
        {
            MigrationStep step = plan.Steps[i];
            int number = i + 1;
            long before = fetched;
            if (step.Base is { } start)
            {
                _destination.Pin(start, owner);
                await _source.PinAsync(objectName, start.Id, owner, cancel).ConfigureAwait(false);
            }

            try
            {
                await FetchAsync(objectName, step, bytes =>
                {
                    fetched += bytes;
                    _options.Progress?.Report(new MigrationProgress(step.Snapshot, number, plan.Steps.Count, fetched, step.Bytes));
                }, limit, cancel).ConfigureAwait(false);
            }
            finally
            {
                if (step.Base is { } end)
                {
                    _destination.Unpin(end, owner);
                }
            }

            if (step.Base is { } over)
            {
                await _source.UnpinAsync(objectName, over.Id, owner, cancel).ConfigureAwait(false);
            }

            _options.Sent?.Invoke(step, number, plan.Steps.Count, fetched - before);
        }

        return new MigrationReport(plan.Steps.Count, fetched, _interruptions);
    }

    /// <summary>Fetches one snapshot; a connection that breaks, but brings something, is made again.</summary>
    private async Task FetchAsync(string objectName, MigrationStep step, Action<int> count, RateLimit limit, CancellationToken cancel)
    {
        for (int attempt = 0; ; _interruptions++)
        {
            long here = 0;
            try
            {
                IReadOnlyList<long>? received = await ReceivedAsync(objectName, step, cancel).ConfigureAwait(false);
                await using Stream difference = await (received is null
                    ? _source.OpenDifferenceAsync(objectName, step.Base?.Id, step.Snapshot.Id, cancel)
                    : _source.OpenRestAsync(objectName, step.Base?.Id, step.Snapshot.Id, received, cancel)).ConfigureAwait(false);
                await using var counted = new MeteredStream(difference, limit, bytes =>
                {
                    here += bytes;
                    count(bytes);
                });
                await DifferenceFile.ApplyRestAsync(_destination, counted, received, cancel).ConfigureAwait(false);
                return;
            }
            catch (Exception e) when (e is HttpRequestException or (IOException and not SnapshotStoreException))
            {
                attempt = here > Progress ? 1 : attempt + 1;
                if (attempt > _options.Retries || cancel.IsCancellationRequested)
                {
                    throw new SnapshotStoreException("device.unreachable", $"the connection to {_source.Name} broke: {e.Message}; fetch again to go on", e);
                }
            }
        }
    }

    /// <summary>How many records of each lane are here already; null for none, which costs the device nothing.</summary>
    private async Task<IReadOnlyList<long>?> ReceivedAsync(string objectName, MigrationStep step, CancellationToken cancel)
    {
        if (!Directory.Exists(_destination.Layout.Incoming) || !Directory.EnumerateDirectories(_destination.Layout.Incoming).Any())
        {
            return null;
        }

        await using Stream head = await _source.OpenRestAsync(objectName, step.Base?.Id, step.Snapshot.Id, null, cancel).ConfigureAwait(false);
        return await DifferenceFile.ReceivedAsync(_destination, head, cancel).ConfigureAwait(false);
    }

    /// <summary>Counts what is read, and keeps it below the limit.</summary>
    private sealed class MeteredStream(Stream inner, RateLimit limit, Action<int> count) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int read = await inner.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            count(read);
            await limit.TakeAsync(read, cancellationToken).ConfigureAwait(false);
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
