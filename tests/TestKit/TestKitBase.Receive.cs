using System.Collections;
using System.Runtime.CompilerServices;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public object ReceiveOne(TimeSpan? max = null, CancellationToken cancellationToken = default) =>
        TryReceiveOne(out var envelope, max, cancellationToken) ? envelope.Message : null!;

    public async ValueTask<object> ReceiveOneAsync(TimeSpan? max = null, CancellationToken cancellationToken = default)
    {
        var (success, envelope) = await TryReceiveOneAsync(max, cancellationToken).ConfigureAwait(false);
        return success ? envelope.Message : null!;
    }

    public bool TryReceiveOne(out MessageEnvelope envelope, TimeSpan? max = null, CancellationToken cancellationToken = default)
    {
        var taken = Quietly(() => _queue.Take(GetTimeoutOrDefault(max), remove: true, cancellationToken));
        Note(taken);
        envelope = _last;
        return taken is not null;
    }

    public async ValueTask<(bool success, MessageEnvelope envelope)> TryReceiveOneAsync(TimeSpan? max, CancellationToken cancellationToken = default)
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

        Note(taken);
        return (taken is not null, _last);
    }

    public object PeekOne(TimeSpan? max = null, CancellationToken cancellationToken = default) =>
        TryPeekOne(out var envelope, max, cancellationToken) ? envelope.Message : null!;

    public object PeekOne(CancellationToken cancellationToken) => PeekOne(Timeout.InfiniteTimeSpan, cancellationToken);

    public async ValueTask<object> PeekOneAsync(TimeSpan? max = null, CancellationToken cancellationToken = default)
    {
        var (success, envelope) = await TryPeekOneAsync(max, cancellationToken).ConfigureAwait(false);
        return success ? envelope.Message : null!;
    }

    public ValueTask<object> PeekOneAsync(CancellationToken cancellationToken) => PeekOneAsync(Timeout.InfiniteTimeSpan, cancellationToken);

    public bool TryPeekOne(out MessageEnvelope envelope, TimeSpan? max, CancellationToken cancellationToken)
    {
        var peeked = Quietly(() => _queue.Take(GetTimeoutOrDefault(max), remove: false, cancellationToken));
        Note(peeked);
        envelope = _last;
        return peeked is not null;
    }

    public async ValueTask<(bool success, MessageEnvelope envelope)> TryPeekOneAsync(TimeSpan? max, CancellationToken cancellationToken)
    {
        MessageEnvelope? peeked = null;
        try
        {
            peeked = await _queue.TakeAsync(GetTimeoutOrDefault(max), remove: false, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // As if nothing had come.
        }

        Note(peeked);
        return (peeked is not null, _last);
    }

    private static MessageEnvelope? Quietly(Func<MessageEnvelope?> take)
    {
        try
        {
            return take();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

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
            if (Fished(Take(end - Now, cancellationToken), isMessage, allMessages, limit, hint, out var message))
            {
                return message;
            }
        }
    }

    public ValueTask<object> FishForMessageAsync(Predicate<object> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default) =>
        FishForMessageAsync<object>(isMessage, max, hint, cancellationToken);

    public ValueTask<T> FishForMessageAsync<T>(Predicate<T> isMessage, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default) =>
        FishForMessageAsync(isMessage, null!, max, hint, cancellationToken);

    public async ValueTask<T> FishForMessageAsync<T>(
        Predicate<T> isMessage, ArrayList allMessages, TimeSpan? max = null, string hint = "", CancellationToken cancellationToken = default)
    {
        var limit = RemainingOrDilated(max);
        var end = Now + limit;
        allMessages?.Clear();
        while (true)
        {
            if (Fished(await TakeAsync(end - Now, cancellationToken).ConfigureAwait(false), isMessage, allMessages, limit, hint, out var message))
            {
                return message;
            }
        }
    }

    private bool Fished<T>(MessageEnvelope? envelope, Predicate<T> isMessage, ArrayList? all, TimeSpan limit, string hint, out T message)
    {
        _assertions.AssertTrue(envelope is not null, "Timeout ({0}) during fishForMessage{1}", limit, string.IsNullOrEmpty(hint) ? "" : ", hint: " + hint);
        if (envelope!.Message is T typed && isMessage(typed))
        {
            message = typed;
            return true;
        }

        all?.Add(envelope.Message);
        message = default!;
        return false;
    }

    /// <summary>Waits for silence; a message of the type on the way fails the test.</summary>
    public async Task FishUntilMessageAsync<T>(TimeSpan? max = null, CancellationToken cancellationToken = default)
    {
        while (await ReceiveOneAsync(max, cancellationToken).ConfigureAwait(false) is { } message)
        {
            _assertions.AssertFalse(message is T, "did not expect a message of type {0}", typeof(T));
        }
    }

    public async Task<ArrayList> WaitForRadioSilenceAsync(TimeSpan? max = null, uint? maxMessages = null, CancellationToken cancellationToken = default)
    {
        var messages = new ArrayList();
        for (uint i = 0; ; i++)
        {
            _assertions.AssertFalse(maxMessages.HasValue && i > maxMessages.Value, "maxMessages violated (current iteration: {0}).", i);
            if (await ReceiveOneAsync(max, cancellationToken).ConfigureAwait(false) is not { } message)
            {
                return ArrayList.ReadOnly(messages);
            }

            messages.Add(message);
        }
    }

    public IReadOnlyList<T> ReceiveWhile<T>(TimeSpan? max, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default) =>
        ReceiveWhile(filter, max, Timeout.InfiniteTimeSpan, msgs, cancellationToken);

    public IReadOnlyList<T> ReceiveWhile<T>(TimeSpan? max, TimeSpan? idle, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default) =>
        ReceiveWhile(filter, max, idle, msgs, cancellationToken);

    public IReadOnlyList<T> ReceiveWhile<T>(
        Func<object, T> filter, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, CancellationToken cancellationToken = default)
    {
        var result = new List<T>();
        Collect(max, idle, msgs, cancellationToken, Filtered(filter, result));
        return result;
    }

    public IReadOnlyList<T> ReceiveWhile<T>(
        Predicate<T> shouldContinue, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, bool shouldIgnoreOtherMessageTypes = true, CancellationToken cancellationToken = default)
    {
        var result = new List<T>();
        Collect(max, idle, msgs, cancellationToken, Continued(shouldContinue, shouldIgnoreOtherMessageTypes, result));
        return result;
    }

    public IAsyncEnumerable<T> ReceiveWhileAsync<T>(TimeSpan? max, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default) =>
        ReceiveWhileAsync(filter, max, Timeout.InfiniteTimeSpan, msgs, cancellationToken);

    public IAsyncEnumerable<T> ReceiveWhileAsync<T>(TimeSpan? max, TimeSpan? idle, Func<object, T> filter, int msgs = int.MaxValue, CancellationToken cancellationToken = default) =>
        ReceiveWhileAsync(filter, max, idle, msgs, cancellationToken);

    public IAsyncEnumerable<T> ReceiveWhileAsync<T>(
        Func<object, T> filter, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, CancellationToken cancellationToken = default)
    {
        var result = new List<T>();
        return CollectAsync(max, idle, msgs, Filtered(filter, result), result, cancellationToken);
    }

    public IAsyncEnumerable<T> ReceiveWhileAsync<T>(
        Predicate<T> shouldContinue, TimeSpan? max = null, TimeSpan? idle = null, int msgs = int.MaxValue, bool shouldIgnoreOtherMessageTypes = true, CancellationToken cancellationToken = default)
    {
        var result = new List<T>();
        return CollectAsync(max, idle, msgs, Continued(shouldContinue, shouldIgnoreOtherMessageTypes, result), result, cancellationToken);
    }

    private static Func<object, bool> Filtered<T>(Func<object, T> filter, List<T> result) => message =>
    {
        if (filter(message) is { } value)
        {
            result.Add(value);
            return true;
        }

        return false;
    };

    private static Func<object, bool> Continued<T>(Predicate<T> shouldContinue, bool ignoreOthers, List<T> result) => message =>
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

        return ignoreOthers;
    };

    private void Collect(TimeSpan? max, TimeSpan? idle, int msgs, CancellationToken cancellationToken, Func<object, bool> take)
    {
        var stop = Now + RemainingOrDilated(max);
        var last = _last;
        for (var count = 0; count < msgs; count++)
        {
            var peeked = _queue.Take(Wait(stop, idle), remove: false, cancellationToken);
            if (peeked is null || !take(peeked.Message))
            {
                break;
            }

            last = _queue.Take(TimeSpan.Zero, remove: true, cancellationToken)!;
        }

        _last = last;
        _lastWasNoMsg = true;
    }

    private async IAsyncEnumerable<T> CollectAsync<T>(
        TimeSpan? max, TimeSpan? idle, int msgs, Func<object, bool> take, List<T> result, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var stop = Now + RemainingOrDilated(max);
        var last = _last;
        for (var count = 0; count < msgs; count++)
        {
            var peeked = await _queue.TakeAsync(Wait(stop, idle), remove: false, cancellationToken).ConfigureAwait(false);
            if (peeked is null || !take(peeked.Message))
            {
                break;
            }

            last = _queue.Take(TimeSpan.Zero, remove: true, cancellationToken)!;
            foreach (var value in result)
            {
                yield return value;
            }

            result.Clear();
        }

        _last = last;
        _lastWasNoMsg = true;
    }

    private static TimeSpan Wait(TimeSpan stop, TimeSpan? idle)
    {
        var left = stop - Now;
        if (idle is { } limit && limit >= TimeSpan.Zero && limit < left)
        {
            left = limit;
        }

        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    public IReadOnlyCollection<object> ReceiveN(int numberOfMessages, CancellationToken cancellationToken = default) => ReceiveNDilated(numberOfMessages, RemainingOrDefault, cancellationToken);

    public IReadOnlyCollection<object> ReceiveN(int numberOfMessages, TimeSpan max, CancellationToken cancellationToken = default) => ReceiveNDilated(numberOfMessages, Dilated(max), cancellationToken);

    public IAsyncEnumerable<object> ReceiveNAsync(int numberOfMessages, CancellationToken cancellationToken = default) =>
        ReceiveNDilatedAsync(numberOfMessages, RemainingOrDefault, cancellationToken);

    public IAsyncEnumerable<object> ReceiveNAsync(int numberOfMessages, TimeSpan max, CancellationToken cancellationToken = default) =>
        ReceiveNDilatedAsync(numberOfMessages, Dilated(max), cancellationToken);

    private List<object> ReceiveNDilated(int numberOfMessages, TimeSpan max, CancellationToken cancellationToken)
    {
        var stop = Now + max;
        var messages = new List<object>();
        for (var i = 1; i <= numberOfMessages; i++)
        {
            messages.Add(Nth(Take(stop - Now, cancellationToken), i, numberOfMessages, max));
        }

        return messages;
    }

    private async IAsyncEnumerable<object> ReceiveNDilatedAsync(int numberOfMessages, TimeSpan max, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var stop = Now + max;
        for (var i = 1; i <= numberOfMessages; i++)
        {
            yield return Nth(await TakeAsync(stop - Now, cancellationToken).ConfigureAwait(false), i, numberOfMessages, max);
        }
    }

    private object Nth(MessageEnvelope? envelope, int index, int of, TimeSpan max)
    {
        _assertions.AssertTrue(envelope is not null, "Timeout ({0}) while expecting {1} messages. Only got {2} after {3}.", max, of, index - 1, max);
        return envelope!.Message;
    }
}
