using Akka.Actor;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public T ExpectMsgFrom<T>(IActorRef sender, TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(duration), (_, from) => AssertSender(sender, from, hint), hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            _assertions.AssertEqual(message, got, Text(hint));
        }, hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            AssertPredicate(isMessage(got), got, hint);
        }, hint, cancellationToken);

    public T ExpectMsgFrom<T>(Predicate<IActorRef> isSender, Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            _assertions.AssertTrue(isSender(from), "Sender does not match. {0}", Text(hint));
            AssertPredicate(isMessage(got), got, hint);
        }, hint, cancellationToken);

    public T ExpectMsgFrom<T>(IActorRef sender, Action<T> assertMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            assertMessage(got);
        }, hint, cancellationToken);

    public T ExpectMsgFrom<T>(Action<IActorRef> assertSender, Action<T> assertMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        Expect<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            assertSender(from);
            assertMessage(got);
        }, hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(IActorRef sender, TimeSpan? duration = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(duration), (_, from) => AssertSender(sender, from, hint), hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(IActorRef sender, T message, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            _assertions.AssertEqual(message, got, Text(hint));
        }, hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(IActorRef sender, Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            AssertPredicate(isMessage(got), got, hint);
        }, hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(Predicate<IActorRef> isSender, Predicate<T> isMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            _assertions.AssertTrue(isSender(from), "Sender does not match. {0}", Text(hint));
            AssertPredicate(isMessage(got), got, hint);
        }, hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(IActorRef sender, Action<T> assertMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            AssertSender(sender, from, hint);
            assertMessage(got);
        }, hint, cancellationToken);

    public ValueTask<T> ExpectMsgFromAsync<T>(Action<IActorRef> assertSender, Action<T> assertMessage, TimeSpan? timeout = null, string? hint = null, CancellationToken cancellationToken = default) =>
        ExpectAsync<T>(RemainingOrDilated(timeout), (got, from) =>
        {
            assertSender(from);
            assertMessage(got);
        }, hint, cancellationToken);

    private void AssertSender(IActorRef expected, IActorRef actual, string? hint) =>
        _assertions.AssertEqual(expected, actual, "Sender does not match. {0}", Text(hint));
}
