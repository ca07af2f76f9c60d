using System.Runtime.CompilerServices;

namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    public T ExpectMsgAnyOf<T>(IEnumerable<T> messages, CancellationToken cancellationToken = default)
    {
        var max = RemainingOrDefault;
        return AnyOf(Take(max, cancellationToken), max, messages);
    }

    public async ValueTask<T> ExpectMsgAnyOfAsync<T>(IEnumerable<T> messages, CancellationToken cancellationToken = default)
    {
        var max = RemainingOrDefault;
        return AnyOf(await TakeAsync(max, cancellationToken).ConfigureAwait(false), max, messages);
    }

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(params T[] messages) => ExpectMsgAllOf((IReadOnlyCollection<T>)messages);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) =>
        AllOf(ReceiveNDilated(messages.Count, RemainingOrDefault, cancellationToken), messages);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(TimeSpan max, params T[] messages) => ExpectMsgAllOf(max, (IReadOnlyCollection<T>)messages);

    public IReadOnlyCollection<T> ExpectMsgAllOf<T>(TimeSpan max, IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) =>
        AllOf(ReceiveNDilated(messages.Count, Dilated(max), cancellationToken), messages);

    public IAsyncEnumerable<T> ExpectMsgAllOfAsync<T>(IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) =>
        AllOfAsync(RemainingOrDefault, messages, cancellationToken);

    public IAsyncEnumerable<T> ExpectMsgAllOfAsync<T>(TimeSpan max, IReadOnlyCollection<T> messages, CancellationToken cancellationToken = default) =>
        AllOfAsync(Dilated(max), messages, cancellationToken);

    public IReadOnlyCollection<object> ExpectMsgAllOfMatchingPredicates(params PredicateInfo[] predicates) =>
        ExpectMsgAllOfMatchingPredicates(predicates, CancellationToken.None);

    public IReadOnlyCollection<object> ExpectMsgAllOfMatchingPredicates(IReadOnlyCollection<PredicateInfo> predicates, CancellationToken cancellationToken) =>
        Matching(ReceiveNDilated(predicates.Count, RemainingOrDefault, cancellationToken), predicates);

    public IReadOnlyCollection<object> ExpectMsgAllOfMatchingPredicates(TimeSpan max, params PredicateInfo[] predicates) =>
        ExpectMsgAllOfMatchingPredicates(max, predicates, CancellationToken.None);

    public IReadOnlyCollection<object> ExpectMsgAllOfMatchingPredicates(TimeSpan max, IReadOnlyCollection<PredicateInfo> predicates, CancellationToken cancellationToken) =>
        Matching(ReceiveNDilated(predicates.Count, Dilated(max), cancellationToken), predicates);

    public IAsyncEnumerable<object> ExpectMsgAllOfMatchingPredicatesAsync(IReadOnlyCollection<PredicateInfo> predicates, CancellationToken cancellationToken = default) =>
        MatchingAsync(RemainingOrDefault, predicates, cancellationToken);

    public IAsyncEnumerable<object> ExpectMsgAllOfMatchingPredicatesAsync(TimeSpan max, IReadOnlyCollection<PredicateInfo> predicates, CancellationToken cancellationToken = default) =>
        MatchingAsync(Dilated(max), predicates, cancellationToken);

    private T AnyOf<T>(MessageEnvelope? envelope, TimeSpan max, IEnumerable<T> messages)
    {
        _assertions.AssertTrue(envelope is not null, "Timeout {0} during waiting for ExpectMsgAnyOf waiting for ({1})", max, string.Join(",", messages));
        var got = envelope!.Message;
        _assertions.AssertTrue(got is T typed && messages.Contains(typed), "ExpectMsgAnyOf found unexpected {0}", got);
        return (T)got;
    }

    private async IAsyncEnumerable<T> AllOfAsync<T>(TimeSpan max, IReadOnlyCollection<T> messages, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var message in AllOf(await CollectNAsync(messages.Count, max, cancellationToken).ConfigureAwait(false), messages))
        {
            yield return message;
        }
    }

    private async IAsyncEnumerable<object> MatchingAsync(TimeSpan max, IReadOnlyCollection<PredicateInfo> predicates, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var message in Matching(await CollectNAsync(predicates.Count, max, cancellationToken).ConfigureAwait(false), predicates))
        {
            yield return message;
        }
    }

    private async Task<List<object>> CollectNAsync(int count, TimeSpan max, CancellationToken cancellationToken)
    {
        var got = new List<object>(count);
        await foreach (var message in ReceiveNDilatedAsync(count, max, cancellationToken).ConfigureAwait(false))
        {
            got.Add(message);
        }

        return got;
    }

    private List<T> AllOf<T>(IReadOnlyCollection<object> got, IReadOnlyCollection<T> messages)
    {
        Pair(got, messages, static (message, each) => each is T typed && EqualityComparer<T>.Default.Equals(typed, message));
        return [.. got.Cast<T>()];
    }

    private IReadOnlyCollection<object> Matching(IReadOnlyCollection<object> got, IReadOnlyCollection<PredicateInfo> predicates)
    {
        Pair(got, predicates, static (predicate, each) => predicate.Fits(each));
        return got;
    }

    // Each of what was expected takes one of what came; nothing may be left on either side.
    private void Pair<TExpected>(IReadOnlyCollection<object> got, IReadOnlyCollection<TExpected> expected, Func<TExpected, object, bool> fits)
    {
        var left = got.ToList();
        var missing = new List<TExpected>();
        foreach (var each in expected)
        {
            var at = left.FindIndex(message => fits(each, message));
            if (at < 0)
            {
                missing.Add(each);
            }
            else
            {
                left.RemoveAt(at);
            }
        }

        _assertions.AssertTrue(missing.Count == 0 && left.Count == 0, "not found [{0}], found unexpected [{1}]", string.Join(",", missing), string.Join(",", left));
    }
}
