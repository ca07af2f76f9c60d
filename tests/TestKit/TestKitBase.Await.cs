namespace Akka.TestKit;

public abstract partial class TestKitBase
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(20);

    public void AwaitAssert(Action assertion, TimeSpan? duration = null, TimeSpan? interval = null, CancellationToken cancellationToken = default)
    {
        var pause = PositiveOrDefault(interval);
        var stop = Now + RemainingOrDilated(duration);

        // On this thread all the time: the assertion may send, in the name of this thread's implicit sender.
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                assertion();
                return;
            }
            catch (Exception) when (Now < stop)
            {
                cancellationToken.WaitHandle.WaitOne(Shorter(stop - Now, pause));
            }
        }
    }

    private static TimeSpan PositiveOrDefault(TimeSpan? interval)
    {
        var pause = interval ?? TimeSpan.FromMilliseconds(100);
        return pause > TimeSpan.Zero ? pause : throw new ArgumentException("interval must be positive", nameof(interval));
    }

    private static TimeSpan Shorter(TimeSpan left, TimeSpan pause) => left > pause ? pause : left > TimeSpan.Zero ? left : TimeSpan.Zero;

    public Task AwaitAssertAsync(Action assertion, TimeSpan? duration = null, TimeSpan? interval = null, CancellationToken cancellationToken = default) => AwaitAssertAsync(
        () =>
        {
            assertion();
            return Task.CompletedTask;
        },
        duration,
        interval,
        cancellationToken);

    public async Task AwaitAssertAsync(Func<Task> assertion, TimeSpan? duration = null, TimeSpan? interval = null, CancellationToken cancellationToken = default)
    {
        var pause = PositiveOrDefault(interval);
        var stop = Now + RemainingOrDilated(duration);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                await assertion();
                return;
            }
            catch (Exception) when (Now < stop)
            {
                await Task.Delay(Shorter(stop - Now, pause), cancellationToken);
            }
        }
    }

    public void AwaitCondition(Func<bool> conditionIsFulfilled, CancellationToken cancellationToken = default) => AwaitCondition(conditionIsFulfilled, RemainingOrDefault, null, null, cancellationToken);

    public void AwaitCondition(Func<bool> conditionIsFulfilled, TimeSpan? max, CancellationToken cancellationToken = default) => AwaitCondition(conditionIsFulfilled, max, null, null, cancellationToken);

    public void AwaitCondition(Func<bool> conditionIsFulfilled, TimeSpan? max, string message, CancellationToken cancellationToken = default) =>
        AwaitCondition(conditionIsFulfilled, max, null, message, cancellationToken);

    public void AwaitCondition(Func<bool> conditionIsFulfilled, TimeSpan? max, TimeSpan? interval, string? message = null, CancellationToken cancellationToken = default)
    {
        if (!AwaitConditionNoThrow(conditionIsFulfilled, RemainingOrDilated(max), interval, cancellationToken))
        {
            _assertions.Fail("Timeout - {0} was not fulfilled within {1}", message ?? "the condition", RemainingOrDilated(max));
        }
    }

    public Task AwaitConditionAsync(Func<Task<bool>> conditionIsFulfilled, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(conditionIsFulfilled, null, null, null, cancellationToken);

    public Task AwaitConditionAsync(Func<bool> conditionIsFulfilled, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(conditionIsFulfilled, null, null, null, cancellationToken);

    public Task AwaitConditionAsync(Func<Task<bool>> conditionIsFulfilled, TimeSpan? max, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(conditionIsFulfilled, max, null, null, cancellationToken);

    public Task AwaitConditionAsync(Func<Task<bool>> conditionIsFulfilled, TimeSpan? max, string message, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(conditionIsFulfilled, max, null, message, cancellationToken);

    public Task AwaitConditionAsync(Func<bool> conditionIsFulfilled, TimeSpan? max, string message, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(conditionIsFulfilled, max, null, message, cancellationToken);

    public Task AwaitConditionAsync(
        Func<bool> conditionIsFulfilled, TimeSpan? max, TimeSpan? interval, string? message = null, CancellationToken cancellationToken = default) =>
        AwaitConditionAsync(() => Task.FromResult(conditionIsFulfilled()), max, interval, message, cancellationToken);

    public async Task AwaitConditionAsync(
        Func<Task<bool>> conditionIsFulfilled, TimeSpan? max, TimeSpan? interval, string? message = null, CancellationToken cancellationToken = default)
    {
        var limit = RemainingOrDilated(max);
        if (!await AwaitConditionNoThrowAsync(conditionIsFulfilled, limit, interval, cancellationToken))
        {
            _assertions.Fail("Timeout - {0} was not fulfilled within {1}", message ?? "the condition", limit);
        }
    }

    public bool AwaitConditionNoThrow(Func<bool> conditionIsFulfilled, TimeSpan max, TimeSpan? interval = null, CancellationToken cancellationToken = default)
    {
        var stop = Now + max;
        while (!conditionIsFulfilled())
        {
            if (Now >= stop)
            {
                return false;
            }

            cancellationToken.WaitHandle.WaitOne(Shorter(stop - Now, interval ?? PollInterval));
            cancellationToken.ThrowIfCancellationRequested();
        }

        return true;
    }

    public Task<bool> AwaitConditionNoThrowAsync(Func<bool> conditionIsFulfilled, TimeSpan max, TimeSpan? interval = null, CancellationToken cancellationToken = default) =>
        AwaitConditionNoThrowAsync(() => Task.FromResult(conditionIsFulfilled()), max, interval, cancellationToken);

    public async Task<bool> AwaitConditionNoThrowAsync(
        Func<Task<bool>> conditionIsFulfilled, TimeSpan max, TimeSpan? interval = null, CancellationToken cancellationToken = default)
    {
        var stop = Now + max;
        while (!await conditionIsFulfilled())
        {
            if (Now >= stop)
            {
                return false;
            }

            await Task.Delay(Shorter(stop - Now, interval ?? PollInterval), cancellationToken);
        }

        return true;
    }

    public void Within(TimeSpan max, Action action, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) => Within(TimeSpan.Zero, max, action, null, epsilonValue, cancellationToken);

    public void Within(TimeSpan min, TimeSpan max, Action action, string? hint = null, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) =>
        Within<object>(min, max, () =>
        {
            action();
            return null!;
        }, hint, epsilonValue, cancellationToken);

    public T Within<T>(TimeSpan max, Func<T> function, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) =>
        Within(TimeSpan.Zero, max, function, null, epsilonValue, cancellationToken);

    public T Within<T>(TimeSpan min, TimeSpan max, Func<T> function, string? hint = null, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default)
    {
        var frame = Enter(min, ref max, hint);
        T result;
        try
        {
            result = function();
        }
        finally
        {
            _end = frame.Outer;
        }

        Leave(frame, min, hint, epsilonValue);
        return result;
    }

    public Task WithinAsync(TimeSpan max, Func<Task> actionAsync, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) =>
        WithinAsync(TimeSpan.Zero, max, actionAsync, null, epsilonValue, cancellationToken);

    public Task WithinAsync(
        TimeSpan min, TimeSpan max, Func<Task> actionAsync, string? hint = null, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) =>
        WithinAsync<object>(min, max, async () =>
        {
            await actionAsync();
            return null!;
        }, hint, epsilonValue, cancellationToken);

    public Task<T> WithinAsync<T>(TimeSpan max, Func<Task<T>> function, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default) =>
        WithinAsync(TimeSpan.Zero, max, function, null, epsilonValue, cancellationToken);

    public async Task<T> WithinAsync<T>(
        TimeSpan min, TimeSpan max, Func<Task<T>> function, string? hint = null, TimeSpan? epsilonValue = null, CancellationToken cancellationToken = default)
    {
        var frame = Enter(min, ref max, hint);
        T result;
        try
        {
            result = await function();
        }
        finally
        {
            _end = frame.Outer;
        }

        Leave(frame, min, hint, epsilonValue);
        return result;
    }

    private (TimeSpan Start, TimeSpan Limit, TimeSpan? Outer) Enter(TimeSpan min, ref TimeSpan max, string? hint)
    {
        if (min < TimeSpan.Zero || max < TimeSpan.Zero)
        {
            throw new ArgumentException("durations must not be negative");
        }

        max = Dilated(max);
        var start = Now;
        var left = _end is { } end ? end - start : max;
        _assertions.AssertTrue(left >= min, "Required min-time {0} not possible, only {1} left. {2}", min, left, hint ?? "");
        _lastWasNoMsg = false;
        var limit = left < max ? left : max;
        var outer = _end;
        _end = start + limit;
        return (start, limit, outer);
    }

    private void Leave((TimeSpan Start, TimeSpan Limit, TimeSpan? Outer) frame, TimeSpan min, string? hint, TimeSpan? epsilon)
    {
        var elapsed = Now - frame.Start;
        _assertions.AssertTrue(elapsed >= min, "Failed: Block took {0}, should have at least been {1}. {2}", elapsed, min, hint ?? "");
        if (!_lastWasNoMsg)
        {
            _assertions.AssertTrue(elapsed <= frame.Limit + (epsilon ?? TimeSpan.Zero), "Failed: Block took {0}, exceeding {1}. {2}", elapsed, frame.Limit, hint ?? "");
        }
    }
}
