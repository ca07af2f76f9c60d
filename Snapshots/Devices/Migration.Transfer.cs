using Google.Protobuf;

namespace Holdfast.Snapshots;

/// <content>One step of a migration: its records are sent until all are stored, then they are made a snapshot.</content>
public sealed partial class Migration
{
    /// <summary>Makes what was sent a snapshot there, and lets go of it. Its base is held there meanwhile.</summary>
    /// <param name="outgoing">What was sent; disposed.</param>
    /// <param name="session">The transfer; null when the snapshot is there already.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="before">The completion of the step before, whose snapshot may be this one's base.</param>
    /// <param name="cancel">Cancels.</param>
    private async Task CompleteAsync(Outgoing outgoing, string? session, string objectName, Task before, CancellationToken cancel)
    {
        await using (outgoing)
        {
            await before.ConfigureAwait(false);
            SnapshotInfo? start = outgoing.Step.Base;
            if (start is not null)
            {
                await InsistAsync(() => _destination.PinAsync(objectName, start.Id, PinOwner, cancel), cancel).ConfigureAwait(false);
            }

            for (int attempt = 0; session is not null; session = await TransferAsync(outgoing, Task.CompletedTask, cancel).ConfigureAwait(false))
            {
                try
                {
                    await _destination.FinishAsync(session, await outgoing.TargetDigest.ConfigureAwait(false), cancel).ConfigureAwait(false);
                    break;
                }
                catch (Exception e) when (IsBroken(e) && !cancel.IsCancellationRequested && ++attempt <= _options.Retries)
                {
                    // Whether it is a snapshot by now is asked when the transfer is begun again.
                    Interlocked.Increment(ref _interruptions);
                    await Task.Delay(Pause(attempt), cancel).ConfigureAwait(false);
                }
                catch (Exception e) when (e is HttpRequestException or (IOException and not SnapshotStoreException))
                {
                    throw Unreachable(e, attempt);
                }
            }

            _options.Sent?.Invoke(outgoing.Step, outgoing.Number, outgoing.Steps, outgoing.Sent);
            if (start is not null)
            {
                await InsistAsync(() => _destination.UnpinAsync(objectName, start.Id, PinOwner, cancel), cancel).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Sends the records of a step until all are stored.</summary>
    /// <param name="outgoing">The step.</param>
    /// <param name="before">The completion of the step before, whose snapshot may be this one's base.</param>
    /// <param name="cancel">Cancels.</param>
    /// <returns>The transfer that is to be finished; null when the snapshot is there already.</returns>
    private async Task<string?> TransferAsync(Outgoing outgoing, Task before, CancellationToken cancel)
    {
        bool ask = true;
        long storedBefore = 0;
        for (int attempt = 0; ;)
        {
            try
            {
                return await TransferOnceAsync(outgoing, ask, cancel).ConfigureAwait(false);
            }
            catch (SnapshotStoreException e) when (e.Code == "transfer.gone" && ask)
            {
                // An extent that the receiver had went away meanwhile: now all are sent.
                ask = false;
            }
            catch (SnapshotStoreException e) when (e.Code == "diff.base" && before != Task.CompletedTask)
            {
                // A receiver that began anew, or knows only what is complete: the base is not there yet.
                await before.ConfigureAwait(false);
                before = Task.CompletedTask;
            }
            catch (Exception e) when (IsBroken(e) && !cancel.IsCancellationRequested && (attempt = outgoing.Stored > storedBefore ? 1 : attempt + 1) <= _options.Retries)
            {
                // Only attempts that got nothing through count: a connection that is cut again and again, but moves, goes on.
                storedBefore = outgoing.Stored;
                Interlocked.Increment(ref _interruptions);
                await Task.Delay(Pause(attempt), cancel).ConfigureAwait(false);
            }
            catch (Exception e) when (e is HttpRequestException or (IOException and not SnapshotStoreException))
            {
                throw Unreachable(e, attempt);
            }
        }
    }

    private SnapshotStoreException Unreachable(Exception e, int attempts) =>
        new("device.unreachable", $"the connection to {_destination.Name} broke {attempts} times: {e.Message}", e);

    /// <summary>Asks again when the connection broke, for what may be done twice.</summary>
    private async Task InsistAsync(Func<Task> ask, CancellationToken cancel)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await ask().ConfigureAwait(false);
                return;
            }
            catch (Exception e) when (IsBroken(e) && !cancel.IsCancellationRequested && attempt <= _options.Retries)
            {
                Interlocked.Increment(ref _interruptions);
                await Task.Delay(Pause(attempt), cancel).ConfigureAwait(false);
            }
        }
    }

    private static TimeSpan Pause(int attempt) => attempt <= 1 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Math.Min(2000, 50 << Math.Min(attempt, 6)));

    private async Task<string?> TransferOnceAsync(Outgoing outgoing, bool ask, CancellationToken cancel)
    {
        (MigrationStep step, DifferenceSource source, byte[] baseDigest, Task<byte[]> targetDigest) = outgoing;

        // One transfer at a time has the window: another waits.
        await _line.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            TransferStatus status = await _destination.BeginAsync(source.Head.ToByteArray(), baseDigest, cancel).ConfigureAwait(false);
            outgoing.Stored = status.Received.Sum();
            if (status.Present)
            {
                byte[] theirs = await _destination.DigestAsync(step.Snapshot.Object, step.Snapshot.Id, cancel).ConfigureAwait(false);
                byte[] ours = await targetDigest.ConfigureAwait(false);
                return theirs.AsSpan().SequenceEqual(ours)
                    ? null
                    : throw new SnapshotStoreException("snapshot.exists", $"{step.Snapshot.Address} exists at {_destination.Name} with another content");
            }

            HashSet<int> known = ask ? await KnownAsync(source, cancel).ConfigureAwait(false) : [];
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            _window.Restart(status.Received.Count);
            var lanes = new Task[status.Received.Count];
            for (int i = 0; i < lanes.Length; i++)
            {
                int lane = i;
                lanes[i] = Task.Run(() => InTurnAsync(() => SendLaneAsync(source, status, lane, known, Count, stop), stop.Token), CancellationToken.None);
            }

            try
            {
                await Task.WhenAll(lanes).ConfigureAwait(false);
            }
            catch
            {
                // One lane's failure stops the others; the first that failed says why.
                throw FirstFailure(lanes);
            }

            return status.Session;
        }
        finally
        {
            _line.Release();
        }

        void Count(long bytes)
        {
            outgoing.Count(bytes);
            long sent = Interlocked.Add(ref _sent, bytes);
            _options.Progress?.Report(new MigrationProgress(step.Snapshot, outgoing.Number, outgoing.Steps, sent, source.Bytes));
        }
    }

    /// <summary>Keeps to the number of lanes that may send at once.</summary>
    private async Task InTurnAsync(Func<Task> send, CancellationToken cancel)
    {
        await _lanes.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            await send().ConfigureAwait(false);
        }
        finally
        {
            _lanes.Release();
        }
    }

    private async Task SendLaneAsync(
        DifferenceSource source, TransferStatus status, int lane, HashSet<int> known, Action<long> progress, CancellationTokenSource stop)
    {
        try
        {
            int lanes = status.Received.Count;
            if (lane + (status.Received[lane] * lanes) >= source.Count)
            {
                return;
            }

            await _destination.SendAsync(
                status.Session,
                lane,
                status.Received[lane],
                async (stream, cancel) =>
                {
                    for (long record = lane + (status.Received[lane] * lanes), number = status.Received[lane] + 1; record < source.Count; record += lanes, number++)
                    {
                        long bytes = await source.WriteAsync(
                            (int)record, stream, known.Contains((int)record), size => _window.TakeAsync(lane, number, size, cancel), cancel).ConfigureAwait(false);
                        progress(bytes);
                        await _limit.TakeAsync(bytes, cancel).ConfigureAwait(false);
                    }
                },
                stored => _window.Acknowledge(lane, stored),
                stop.Token).ConfigureAwait(false);
        }
        catch
        {
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Which records' bytes the destination has somewhere already.</summary>
    private async Task<HashSet<int>> KnownAsync(DifferenceSource source, CancellationToken cancel)
    {
        var known = new HashSet<int>();
        foreach ((int Record, byte[] Hash)[] part in source.Hashes().Chunk(HashesInQuestion))
        {
            IReadOnlyList<bool> has = await _destination.HasAsync([.. part.Select(p => p.Hash)], cancel).ConfigureAwait(false);
            for (int i = 0; i < part.Length && i < has.Count; i++)
            {
                if (has[i])
                {
                    known.Add(part[i].Record);
                }
            }
        }

        return known;
    }

    private static Exception FirstFailure(Task[] lanes) =>
        lanes.SelectMany(l => l.Exception?.InnerExceptions ?? Enumerable.Empty<Exception>()).FirstOrDefault(e => e is not OperationCanceledException)
        ?? new OperationCanceledException();
}
