using Holdfast.Actors.Checkpoint;

namespace Holdfast.Actors.Supervision;

/// <summary>
/// Rounds of checkpoints while the application runs, before the one in which it stands until that is stored: each round leaves less for the next, as long as the
/// application writes less than is stored meanwhile.
/// </summary>
/// <param name="most">How many rounds at most.</param>
/// <param name="time">The clock.</param>
internal sealed class PreCopy(int most, TimeProvider time)
{
    /// <summary>So little is stored while it stands sooner than another round is taken, in bytes.</summary>
    private const long Little = 8 << 20;

    private readonly List<string> _snapshots = [];
    private long _began = time.GetTimestamp();
    private long _last;
    private long _all;

    /// <summary>The snapshots of the rounds, to be removed in the end.</summary>
    public IReadOnlyList<string> Snapshots => _snapshots;

    /// <summary>What was done, and what is expected to be left for the last one; null before a round was taken.</summary>
    public PreCopyReport? Report { get; private set; }

    /// <summary>Begins a round.</summary>
    public void Begin() => _began = time.GetTimestamp();

    /// <summary>Takes note of a round.</summary>
    /// <returns>Whether another one is worth its while.</returns>
    public bool Continues(CheckpointTaken round)
    {
        // What it writes in the time that this round took is what the next one has to store.
        TimeSpan sinceLast = time.GetElapsedTime(_last == 0 ? _began : _last);
        long written = round.Pages.BytesWritten;
        long before = Report?.Bytes ?? long.MaxValue;
        long? predicted = _last == 0 ? null : (long)(written * Math.Min(1, time.GetElapsedTime(_began) / sinceLast));
        _last = _began;
        _all += written;
        _snapshots.Add(round.Receipt.Snapshot);
        Report = new PreCopyReport(_snapshots.Count, _all, written, predicted);
        return _snapshots.Count < most && written > Little && written < before / 4 * 3;
    }
}

/// <summary>What was stored before the application was stopped for good.</summary>
/// <param name="Rounds">How many rounds were taken.</param>
/// <param name="AllBytes">Bytes of memory stored in all of them.</param>
/// <param name="Bytes">Bytes of memory stored in the last of them.</param>
/// <param name="PredictedBytes">How many are expected to be left for the end, from what was written between the last two rounds; null after a single one.</param>
public sealed record PreCopyReport(int Rounds, long AllBytes, long Bytes, long? PredictedBytes);
