using System.Collections;
using Akka.Actor;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public object ReceiveOne(TimeSpan? max = null, CancellationToken cancellationToken = default) =>
        TryReceiveOne(out var envelope, max, cancellationToken) ? envelope.Message : null!;

    public object ReceiveOne(CancellationToken cancellationToken) =>
        TryReceiveOne(out var envelope, Timeout.InfiniteTimeSpan, cancellationToken) ? envelope.Message : null!;

    public async ValueTask<object> ReceiveOneAsync(TimeSpan? max = null, CancellationToken cancellationToken = default)
    {
        var (success, envelope) = await TryReceiveOneAsync(max, cancellationToken).ConfigureAwait(false);
        return success ? envelope.Message : null!;
    }

    public ValueTask<object> ReceiveOneAsync(CancellationToken cancellationToken) => ReceiveOneAsync(Timeout.InfiniteTimeSpan, cancellationToken);

    public bool TryReceiveOne(out MessageEnvelope envelope, TimeSpan? max = null) => TryReceiveOne(out envelope, max, CancellationToken.None);

    public bool TryReceiveOne(out MessageEnvelope envelope, TimeSpan? max, CancellationToken cancellationToken)
    {
        MessageEnvelope? taken = null;
        try
        {
            taken = _queue.Take(GetTimeoutOrDefault(max), remove: true, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // As if nothing had come.
        }

        _last = envelope = taken ?? NullMessageEnvelope.Instance;
        _lastWasNoMsg = false;
        return taken is not null;
    }

    public ValueTask<(bool success, MessageEnvelope envelope)> TryReceiveOneAsync(TimeSpan? max = null) => TryReceiveOneAsync(max, CancellationToken.None);

    public async ValueTask<(bool success, MessageEnvelope envelope)> TryReceiveOneAsync(TimeSpan? max, CancellationToken cancellationToken)
    {
        MessageEnvelope? taken = null;
        try
        {
            taken = await _queue.TakeAsync(GetTimeoutOrDefault(max), remove: true, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // As if nothing had come.
        }

        _last = taken ?? NullMessageEnvelope.Instance;
        _lastWasNoMsg = false;
        return (taken is not null, _last);
    }

    public object PeekOne(TimeSpan? max = null, CancellationToken cancellationToken = default) =>
        _queue.Take(GetTimeoutOrDefault(max), remove: false, cancellationToken)?.Message!;

    public async ValueTask<object> PeekOneAsync(TimeSpan? max = null, CancellationToken cancellationToken = default) =>
        (await _queue.TakeAsync(GetTimeoutOrDefault(max), remove: false, cancellationToken).ConfigureAwait(false))?.Message!;

    public object FishForMessage(Predicate<object> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default) =>
        FishForMessage<object>(isMessage, max, hint, cancellationToken);

    public T FishForMessage<T>(Predicate<T> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default) =>
        FishForMessage(isMessage, null!, max, hint, cancellationToken);

    public T FishForMessage<T>(Predicate<T> isMessage, ArrayList allMessages, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default)
    {
        var limit = RemainingOrDilated(max);
        var end = Now + limit;
        allMessages?.Clear();
        while (true)
        {
            var left = end - Now;
            var message = left > TimeSpan.Zero ? ReceiveOne(left, cancellationToken) : null;
            _assertions.AssertTrue(message is not null, "Timeout ({0}) during fishForMessage{1}", limit, string.IsNullOrEmpty(hint) ? "" : ", hint: " + hint);
            if (message is T typed && isMessage(typed))
            {
                return typed;
            }

            allMessages?.Add(message);
        }
    }

    public ValueTask<object> FishForMessageAsync(Predicate<object> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default) =>
        FishForMessageAsync<object>(isMessage, max, hint, cancellationToken);

    public async ValueTask<T> FishForMessageAsync<T>(Predicate<T> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default)
    {
        var limit = RemainingOrDilated(max);
        var end = Now + limit;
        while (true)
        {
            var left = end - Now;
            var message = left > TimeSpan.Zero ? await ReceiveOneAsync(left, cancellationToken).ConfigureAwait(false) : null;
            _assertions.AssertTrue(message is not null, "Timeout ({0}) during fishForMessage{1}", limit, string.IsNullOrEmpty(hint) ? "" : ", hint: " + hint);
            if (message is T typed && isMessage(typed))
            {
                return typed;
            }
        }
    }

    public IReadOnlyList<T> ReceiveWhile<T>(TimeSpan? max, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default)
        where T : class => ReceiveWhile(filter, max, Timeout.InfiniteTimeSpan, msgs, true, cancellationToken);

    public IReadOnlyList<T> ReceiveWhile<T>(TimeSpan? max, TimeSpan? idle, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default)
        where T : class => ReceiveWhile(filter, max, idle, msgs, true, cancellationToken);

    public IReadOnlyList<T> ReceiveWhile<T>(
        Func<object, T> filter, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, bool shouldIgnoreOtherMessageTypes = true, CancellationToken cancellationToken = default)
        where T : class
    {
        var result = new List<T>();
        Collect(max, idle, msgs, cancellationToken, message =>
        {
            if (filter(message) is { } value)
            {
                result.Add(value);
                return true;
            }

            return false;
        });
        return result;
    }

    public IReadOnlyList<T> ReceiveWhile<T>(
        Predicate<T> shouldContinue, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, bool shouldIgnoreOtherMessageTypes = true, CancellationToken cancellationToken = default)
        where T : class
    {
        var result = new List<T>();
        Collect(max, idle, msgs, cancellationToken, message =>
        {
            if (message is T typed)
            {
                if (!shouldContinue(typed))
                {
                    return false;
                }

                result.Add(typed);
                return true;
            }

            return shouldIgnoreOtherMessageTypes;
        });
        return result;
    }

    private void Collect(TimeSpan? max, TimeSpan? idle, int msgs, CancellationToken cancellationToken, Func<object, bool> take)
    {
        var stop = Now + RemainingOrDilated(max);
        var idleLimit = idle is null || idle == Timeout.InfiniteTimeSpan ? (TimeSpan?)null : idle;
        var last = _last;
        for (var count = 0; count < msgs; count++)
        {
            var left = stop - Now;
            if (idleLimit is { } limit && limit < left)
            {
                left = limit;
            }

            var peeked = left > TimeSpan.Zero ? _queue.Take(left, remove: false, cancellationToken) : null;
            if (peeked is null || !take(peeked.Message))
            {
                break;
            }

            last = _queue.Take(TimeSpan.Zero, remove: true, cancellationToken)!;
        }

        _last = last;
        _lastWasNoMsg = true;
    }

    public IReadOnlyCollection<object> ReceiveN(int numberOfMessages, CancellationToken cancellationToken = default) => ReceiveN(numberOfMessages, RemainingOrDefault, cancellationToken);

    public IReadOnlyCollection<object> ReceiveN(int numberOfMessages, TimeSpan max, CancellationToken cancellationToken = default)
    {
        max = Dilated(max);
        var stop = Now + max;
        var messages = new List<object>();
        for (var i = 1; i <= numberOfMessages; i++)
        {
            var left = stop - Now;
            var message = ReceiveOne(left > TimeSpan.Zero ? left : TimeSpan.Zero, cancellationToken);
            _assertions.AssertTrue(message is not null, "Timeout ({0}) while expecting {1} messages. Only got {2} after {3}.", max, numberOfMessages, i - 1, max);
            messages.Add(message!);
        }

        return messages;
    }

    public async IAsyncEnumerable<object> ReceiveNAsync(
        int numberOfMessages, TimeSpan max, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        max = Dilated(max);
        var stop = Now + max;
        for (var i = 1; i <= numberOfMessages; i++)
        {
            var left = stop - Now;
            var message = await ReceiveOneAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            _assertions.AssertTrue(message is not null, "Timeout ({0}) while expecting {1} messages. Only got {2} after {3}.", max, numberOfMessages, i - 1, max);
            yield return message!;
        }
    }

    public IAsyncEnumerable<object> ReceiveNAsync(int numberOfMessages, CancellationToken cancellationToken = default) =>
        ReceiveNAsync(numberOfMessages, RemainingOrDefault, cancellationToken);
}
