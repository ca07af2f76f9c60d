using Akka.Actor;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public T ExpectMsg<T>(TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(duration), null, hint, cancellationToken);

    public T ExpectMsg<T>(T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(message, got, hint ?? ""), hint, cancellationToken);

    public T ExpectMsg<T>(Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => AssertPredicate(isMessage(got), got, hint), hint, cancellationToken);

    public T ExpectMsg<T>(Action<T> assert, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => assert(got), hint, cancellationToken);

    public T ExpectMsg<T>(Func<T, IActorRef, bool> isMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, sender) => AssertPredicate(isMessageAndSender(got, sender), got, hint), hint, cancellationToken);

    public T ExpectMsg<T>(Action<T, IActorRef> assertMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect(RemainingOrDilated(timeout), assertMessageAndSender, hint, cancellationToken);

    public T ExpectMsg<T>(T expected, Func<T, T, bool> comparer, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(expected, got, comparer, hint ?? ""), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(duration), null, hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(message, got, hint ?? ""), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => AssertPredicate(isMessage(got), got, hint), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Action<T> assert, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => assert(got), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Func<T, IActorRef, bool> isMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, sender) => AssertPredicate(isMessageAndSender(got, sender), got, hint), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Action<T, IActorRef> assertMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync(RemainingOrDilated(timeout), assertMessageAndSender, hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(duration), (_, from) => AssertSender(sender, from, hint), hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            _assertions.AssertEqual(message, got, hint ?? "");
        }, hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            AssertPredicate(isMessage(got), got, hint);
        }, hint, cancellationToken);

    public Terminated ExpectTerminated(IActorRef target, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<Terminated>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(target, got.ActorRef, "Terminated of another actor. " + hint), $"Terminated {target}. {hint}", cancellationToken);

    public ValueTask<Terminated> ExpectTerminatedAsync(IActorRef target, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<Terminated>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(target, got.ActorRef, "Terminated of another actor. " + hint), $"Terminated {target}. {hint}", cancellationToken);

    public void ExpectNoMsg(CancellationToken cancellationToken = default) => NoMsg(RemainingOrElse(Dilated(_settings.ExpectNoMessageDefault)), cancellationToken);

    public void ExpectNoMsg(TimeSpan duration, CancellationToken cancellationToken = default) => NoMsg(Dilated(duration), cancellationToken);

    public void ExpectNoMsg(int milliseconds, CancellationToken cancellationToken = default) => ExpectNoMsg(TimeSpan.FromMilliseconds(milliseconds), cancellationToken);

    public ValueTask ExpectNoMsgAsync(CancellationToken cancellationToken = default) => NoMsgAsync(RemainingOrElse(Dilated(_settings.ExpectNoMessageDefault)), cancellationToken);

    public ValueTask ExpectNoMsgAsync(TimeSpan duration, CancellationToken cancellationToken = default) => NoMsgAsync(Dilated(duration), cancellationToken);

    public ValueTask ExpectNoMsgAsync(int milliseconds, CancellationToken cancellationToken = default) => ExpectNoMsgAsync(TimeSpan.FromMilliseconds(milliseconds), cancellationToken);

    public T ExpectMsgAnyOf<T>(params T[] messages) => ExpectMsgAnyOf((IEnumerable<T>)messages);

    public T ExpectMsgAnyOf<T>(IEnumerable<T> messages, CancellationToken cancellationToken = default)
    {
        var max = RemainingOrDefault;
        var got = ReceiveOne(max, cancellationToken);
        _assertions.AssertTrue(got is not null, "Timeout {0} during waiting for ExpectMsgAnyOf waiting for ({1})", max, string.Join(",", messages));
        _assertions.AssertTrue(got is T typed && messages.Contains(typed), "ExpectMsgAnyOf found unexpected {0}", got!);
        return (T)got!;
    }

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(params T[] messages) => AllOf(RemainingOrDefault, messages, default);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) => AllOf(RemainingOrDefault, messages, cancellationToken);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(TimeSpan max, params T[] messages) => AllOf(Dilated(max), messages, default);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(TimeSpan max, IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) => AllOf(Dilated(max), messages, cancellationToken);

    private List<T> AllOf<T>(TimeSpan max, IReadOnlyCollection<T> messages, CancellationToken cancellationToken)
    {
        var got = ReceiveN(messages.Count, max, cancellationToken);
        var left = got.ToList();
        var missing = new List<T>();
        foreach (var message in messages)
        {
            var at = left.FindIndex(each => each is T typed && EqualityComparer<T>.Default.Equals(typed, message));
            if (at < 0)
            {
                missing.Add(message);
            }
            else
            {
                left.RemoveAt(at);
            }
        }

        _assertions.AssertTrue(missing.Count == 0 && left.Count == 0, "Did not find [{0}], found unexpected [{1}]", string.Join(",", missing), string.Join(",", left));
        return [.. got.Cast<T>()];
    }

    private T Expect<T>(TimeSpan timeout, Action<T, IActorRef>? assert, string? hint, CancellationToken cancellationToken)
    {
        var success = TryTake(out var envelope, timeout, cancellationToken);
        return Check(success, envelope, timeout, assert, hint);
    }

    // The time is dilated already.
    private bool TryTake(out MessageEnvelope envelope, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var taken = _queue.Take(timeout < TimeSpan.Zero ? TimeSpan.Zero : timeout, remove: true, cancellationToken);
        _last = envelope = taken ?? NullMessageEnvelope.Instance;
        _lastWasNoMsg = false;
        return taken is not null;
    }

    private async ValueTask<T> ExpectAsync<T>(TimeSpan timeout, Action<T, IActorRef>? assert, string? hint, CancellationToken cancellationToken)
    {
        var taken = await _queue.TakeAsync(timeout < TimeSpan.Zero ? TimeSpan.Zero : timeout, remove: true, cancellationToken).ConfigureAwait(false);
        _last = taken ?? NullMessageEnvelope.Instance;
        _lastWasNoMsg = false;
        return Check(taken is not null, _last, timeout, assert, hint);
    }

    private T Check<T>(bool success, MessageEnvelope envelope, TimeSpan timeout, Action<T, IActorRef>? assert, string? hint)
    {
        if (!success)
        {
            _assertions.Fail("Failed: Timeout {0} while waiting for a message of type {1} {2}", timeout, typeof(T), hint ?? "");
        }

        if (envelope.Message is not T typed)
        {
            _assertions.Fail("Failed: Expected a message of type {0}, but received {{{2}}} (type {1}) instead {3} from {4}", typeof(T), envelope.Message.GetType(), envelope.Message, hint ?? "", envelope.Sender);
            return default!;
        }

        assert?.Invoke(typed, envelope.Sender);
        return typed;
    }

    private void NoMsg(TimeSpan duration, CancellationToken cancellationToken)
    {
        if (TryTake(out var envelope, duration, cancellationToken))
        {
            _assertions.Fail("Failed: Expected no messages during {0}, instead we received {1}", duration, envelope);
        }

        _lastWasNoMsg = true;
    }

    private async ValueTask NoMsgAsync(TimeSpan duration, CancellationToken cancellationToken)
    {
        var taken = await _queue.TakeAsync(duration < TimeSpan.Zero ? TimeSpan.Zero : duration, remove: true, cancellationToken).ConfigureAwait(false);
        if (taken is not null)
        {
            _assertions.Fail("Failed: Expected no messages during {0}, instead we received {1}", duration, taken);
        }

        _lastWasNoMsg = true;
    }

    private void AssertSender(IActorRef expected, IActorRef actual, string? hint) => _assertions.AssertEqual(expected, actual, "Sender does not match. " + hint);

    private void AssertPredicate<T>(bool holds, T got, string? hint) => _assertions.AssertTrue(
        holds, "Got a message of the expected type <{1}>. Also expected {0} but the message {{{2}}} did not match", hint ?? "the predicate to return true", typeof(T), got!);
}
