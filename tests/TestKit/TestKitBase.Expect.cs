using Akka.Actor;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public T ExpectMsg<T>(TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(duration), null, hint, cancellationToken);

    public T ExpectMsg<T>(T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(message, got, Text(hint)), hint, cancellationToken);

    public T ExpectMsg<T>(Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => AssertPredicate(isMessage(got), got, hint), hint, cancellationToken);

    public T ExpectMsg<T>(Action<T> assert, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => assert(got), hint, cancellationToken);

    public T ExpectMsg<T>(Func<T, IActorRef, bool> isMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, sender) => AssertPredicate(isMessageAndSender(got, sender), got, hint), hint, cancellationToken);

    public T ExpectMsg<T>(Action<T, IActorRef> assertMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), assertMessageAndSender, hint, cancellationToken);

    public T ExpectMsg<T>(T expected, Func<T, T, bool> comparer, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(expected, got, comparer, Text(hint)), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(duration), null, hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(message, got, Text(hint)), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => AssertPredicate(isMessage(got), got, hint), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Action<T> assert, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => assert(got), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Func<T, IActorRef, bool> isMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, sender) => AssertPredicate(isMessageAndSender(got, sender), got, hint), hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(Action<T, IActorRef> assertMessageAndSender, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), assertMessageAndSender, hint, cancellationToken);

    public ValueTask<T> ExpectMsgAsync<T>(T expected, Func<T, T, bool> comparer, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, _) => _assertions.AssertEqual(expected, got, comparer, Text(hint)), hint, cancellationToken);

    public Terminated ExpectTerminated(IActorRef target, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<Terminated>(RemainingOrDilated(timeout), (got, _) => AssertTarget(target, got, hint), $"Terminated {target}. {hint}", cancellationToken);

    public ValueTask<Terminated> ExpectTerminatedAsync(IActorRef target, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<Terminated>(RemainingOrDilated(timeout), (got, _) => AssertTarget(target, got, hint), $"Terminated {target}. {hint}", cancellationToken);

    public void ExpectNoMsg(CancellationToken cancellationToken = default) => NoMsg(NoMessageRemainingOrDefault, cancellationToken);

    public void ExpectNoMsg(TimeSpan duration, CancellationToken cancellationToken = default) => NoMsg(Dilated(duration), cancellationToken);

    public void ExpectNoMsg(int milliseconds, CancellationToken cancellationToken = default) => ExpectNoMsg(TimeSpan.FromMilliseconds(milliseconds), cancellationToken);

    public ValueTask ExpectNoMsgAsync(CancellationToken cancellationToken = default) => NoMsgAsync(NoMessageRemainingOrDefault, cancellationToken);

    public ValueTask ExpectNoMsgAsync(TimeSpan duration, CancellationToken cancellationToken = default) => NoMsgAsync(Dilated(duration), cancellationToken);

    public ValueTask ExpectNoMsgAsync(int milliseconds, CancellationToken cancellationToken = default) => ExpectNoMsgAsync(TimeSpan.FromMilliseconds(milliseconds), cancellationToken);

    private T Expect<T>(TimeSpan timeout, Action<T, IActorRef>? assert, string? hint, CancellationToken cancellationToken)
    {
        var taken = Take(timeout, cancellationToken);
        return Check(taken, timeout, assert, hint);
    }

    private async ValueTask<T> ExpectAsync<T>(TimeSpan timeout, Action<T, IActorRef>? assert, string? hint, CancellationToken cancellationToken)
    {
        var taken = await TakeAsync(timeout, cancellationToken).ConfigureAwait(false);
        return Check(taken, timeout, assert, hint);
    }

    // The time is dilated already. A time that is over still takes what is there.
    private MessageEnvelope? Take(TimeSpan timeout, CancellationToken cancellationToken) =>
        Note(_queue.Take(timeout < TimeSpan.Zero ? TimeSpan.Zero : timeout, remove: true, cancellationToken));

    private async ValueTask<MessageEnvelope?> TakeAsync(TimeSpan timeout, CancellationToken cancellationToken) =>
        Note(await _queue.TakeAsync(timeout < TimeSpan.Zero ? TimeSpan.Zero : timeout, remove: true, cancellationToken).ConfigureAwait(false));

    private MessageEnvelope? Note(MessageEnvelope? taken)
    {
        _last = taken ?? NullMessageEnvelope.Instance;
        _lastWasNoMsg = false;
        return taken;
    }

    private T Check<T>(MessageEnvelope? envelope, TimeSpan timeout, Action<T, IActorRef>? assert, string? hint)
    {
        if (envelope is null)
        {
            _assertions.Fail("Failed: Timeout {0} while waiting for a message of type {1} {2}", timeout, typeof(T), Text(hint));
        }

        if (envelope!.Message is not T typed)
        {
            _assertions.Fail(
                "Failed: Expected a message of type {0}, but received {{{2}}} (type {1}) instead {3} from {4}",
                typeof(T), envelope.Message.GetType(), envelope.Message, Text(hint), envelope.Sender);
            return default!;
        }

        assert?.Invoke(typed, envelope.Sender);
        return typed;
    }

    private void NoMsg(TimeSpan duration, CancellationToken cancellationToken)
    {
        if (Take(duration, cancellationToken) is { } envelope)
        {
            _assertions.Fail("Failed: Expected no messages during {0}, instead we received {1}", duration, envelope);
        }

        _lastWasNoMsg = true;
    }

    private async ValueTask NoMsgAsync(TimeSpan duration, CancellationToken cancellationToken)
    {
        if (await TakeAsync(duration, cancellationToken).ConfigureAwait(false) is { } envelope)
        {
            _assertions.Fail("Failed: Expected no messages during {0}, instead we received {1}", duration, envelope);
        }

        _lastWasNoMsg = true;
    }

    private static string Text(string? hint) => hint ?? "";

    private void AssertTarget(IActorRef target, Terminated got, string? hint) =>
        _assertions.AssertEqual(target, got.ActorRef, "Terminated of another actor. {0}", Text(hint));

    private void AssertPredicate<T>(bool holds, T got, string? hint) => _assertions.AssertTrue(
        holds, "Got a message of the expected type <{1}>. Also expected {0} but the message {{{2}}} did not match", hint ?? "the predicate to return true", typeof(T), got!);
}
