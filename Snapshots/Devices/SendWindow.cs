using System.Diagnostics;

namespace Holdfast.Snapshots;

/// <summary>
/// Bounds what was sent and is not yet known to be stored: it is all that can be lost, and sent again, when the connection is cut. A line with a
/// long way gets a larger window, but only as long as the answers do not come later for it: what waits in a queue gains nothing.
/// </summary>
internal sealed class SendWindow
{
    internal const long Smallest = 512 * 1024;

    /// <summary>Answers that come sooner than this leave the smallest window enough.</summary>
    private static readonly TimeSpan Near = TimeSpan.FromMilliseconds(10);

    /// <summary>Answers before these say little about the line.</summary>
    private const int FirstAnswers = 16;

    private readonly Lock _lock = new();
    private readonly long _largest;
    private readonly TimeProvider _time;
    private Queue<Sent>[] _lanes = [];
    private TaskCompletionSource? _room;
    private TimeSpan _shortest = TimeSpan.MaxValue;
    private long _grown;
    private int _answers;
    private bool _limited;

    internal SendWindow(long largest, TimeProvider? time = null)
    {
        _largest = largest;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Bytes that may be under way, to which the last record is added.</summary>
    internal long Size { get; private set; } = Smallest;

    /// <summary>Bytes that are under way.</summary>
    internal long Outstanding { get; private set; }

    /// <summary>Begins anew: nothing is under way.</summary>
    internal void Restart(int lanes)
    {
        lock (_lock)
        {
            _lanes = [.. Enumerable.Range(0, lanes).Select(_ => new Queue<Sent>())];
            Outstanding = 0;
            _room?.TrySetResult();
            _room = null;
        }
    }

    /// <summary>Waits until there is room, and takes it.</summary>
    /// <param name="lane">The lane.</param>
    /// <param name="number">How many records of the lane are stored once this one is.</param>
    /// <param name="bytes">Its bytes.</param>
    /// <param name="cancel">Cancels.</param>
    internal async ValueTask TakeAsync(int lane, long number, long bytes, CancellationToken cancel)
    {
        while (true)
        {
            Task room;
            lock (_lock)
            {
                if (Outstanding < Size)
                {
                    Outstanding += bytes;
                    _lanes[lane].Enqueue(new Sent(number, bytes, _time.GetTimestamp()));
                    return;
                }

                _limited = true;
                room = (_room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            await room.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    /// <summary>So many records of a lane are stored.</summary>
    internal void Acknowledge(int lane, long count)
    {
        TaskCompletionSource? room = null;
        lock (_lock)
        {
            while (_lanes[lane].TryPeek(out Sent sent) && sent.Number <= count)
            {
                _lanes[lane].Dequeue();
                Outstanding -= sent.Bytes;
                Tune(_time.GetElapsedTime(sent.Time));
            }

            if (Outstanding < Size)
            {
                (room, _room) = (_room, null);
            }
        }

        room?.TrySetResult();
    }

    private void Tune(TimeSpan answered)
    {
        _shortest = answered < _shortest ? answered : _shortest;
        _answers++;
        if (_shortest <= Near)
        {
            // The first answers of a process, or of a busy one, are late for other reasons than the line.
            Size = Smallest;
        }
        else if (_limited && _answers > FirstAnswers && answered < _shortest * 2 && Size < _largest && _time.GetElapsedTime(_grown) > answered)
        {
            Size = Math.Min(_largest, Size * 2);
            _grown = _time.GetTimestamp();
            _limited = false;
        }
    }

    private readonly record struct Sent(long Number, long Bytes, long Time);
}
