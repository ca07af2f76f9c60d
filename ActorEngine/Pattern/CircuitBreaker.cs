using Akka.Actor;

namespace Akka.Pattern;

/// <summary>A call was refused because the breaker is open.</summary>
public class OpenCircuitException : AkkaException
{
    /// <summary>Creates one.</summary>
    public OpenCircuitException()
        : this("Circuit Breaker is open; calls are failing fast")
    {
    }

    /// <summary>Creates one with a message.</summary>
    public OpenCircuitException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public OpenCircuitException(string message, Exception? cause)
        : base(message, cause)
    {
    }

    /// <summary>Creates one with a message and the time that is left.</summary>
    public OpenCircuitException(string message, TimeSpan remainingDuration)
        : base(message) => RemainingDuration = remainingDuration;

    /// <summary>Creates one with a message, a cause and the time that is left.</summary>
    public OpenCircuitException(string message, Exception? cause, TimeSpan remainingDuration)
        : base(message, cause) => RemainingDuration = remainingDuration;

    /// <summary>Creates one with a cause.</summary>
    public OpenCircuitException(Exception? cause)
        : this("Circuit Breaker is open; calls are failing fast", cause)
    {
    }

    /// <summary>Creates one with a cause and the time that is left.</summary>
    public OpenCircuitException(Exception? cause, TimeSpan remainingDuration)
        : this("Circuit Breaker is open; calls are failing fast", cause, remainingDuration)
    {
    }

    /// <summary>How long the breaker stays open; zero when it is half open and tests.</summary>
    public TimeSpan RemainingDuration { get; }
}

/// <summary>
/// Guards calls to something that may fail or hang: after so many failures in a row it refuses calls at once (open), after a time it lets one
/// through (half open), and the success of that one closes it.
/// </summary>
public class CircuitBreaker
{
    private readonly Lock _gate = new();
    private readonly List<Action> _onOpen = [];
    private readonly List<Action> _onHalfOpen = [];
    private readonly List<Action> _onClose = [];
    private State _state = State.Closed;
    private TimeSpan _nextReset;
    private TimeSpan _openUntil;
    private long _failures;
    private Exception? _lastFailure;
    private long _generation;

    /// <summary>Creates one that is closed.</summary>
    /// <param name="scheduler">For the way back.</param>
    /// <param name="maxFailures">How many failures in a row open it.</param>
    /// <param name="callTimeout">How long a call may take.</param>
    /// <param name="resetTimeout">How long it stays open.</param>
    public CircuitBreaker(IScheduler scheduler, int maxFailures, TimeSpan callTimeout, TimeSpan resetTimeout)
        : this(scheduler, maxFailures, callTimeout, resetTimeout, TimeSpan.FromDays(36500), 1.0)
    {
    }

    /// <summary>Creates one that is closed, and stays open longer with every failure to close.</summary>
    public CircuitBreaker(IScheduler scheduler, int maxFailures, TimeSpan callTimeout, TimeSpan resetTimeout, TimeSpan maxResetTimeout, double exponentialBackoffFactor)
        : this(scheduler, maxFailures, callTimeout, resetTimeout, maxResetTimeout, exponentialBackoffFactor, 0.0)
    {
    }

    /// <summary>Creates one that is closed, and stays open longer with every failure to close, by a time that chance makes longer.</summary>
    /// <param name="scheduler">For the way back.</param>
    /// <param name="maxFailures">How many failures in a row open it.</param>
    /// <param name="callTimeout">How long a call may take.</param>
    /// <param name="resetTimeout">How long it stays open at first.</param>
    /// <param name="maxResetTimeout">How long it stays open at most.</param>
    /// <param name="exponentialBackoffFactor">By how much longer each time; at least 1.</param>
    /// <param name="randomFactor">Up to what part of it chance adds; 0 to 1.</param>
    public CircuitBreaker(
        IScheduler scheduler, int maxFailures, TimeSpan callTimeout, TimeSpan resetTimeout, TimeSpan maxResetTimeout, double exponentialBackoffFactor, double randomFactor)
    {
        if (exponentialBackoffFactor < 1.0)
        {
            throw new ArgumentException("factor must be >= 1.0", nameof(exponentialBackoffFactor));
        }

        if (randomFactor is < 0.0 or > 1.0)
        {
            throw new ArgumentException("factor must be between 0.0 and 1.0", nameof(randomFactor));
        }

        RandomFactor = randomFactor;

        Scheduler = scheduler;
        MaxFailures = maxFailures;
        CallTimeout = callTimeout;
        ResetTimeout = resetTimeout;
        MaxResetTimeout = maxResetTimeout;
        ExponentialBackoffFactor = exponentialBackoffFactor;
        _nextReset = resetTimeout;
    }

    private enum State
    {
        Closed,
        Open,
        HalfOpen,
    }

    /// <summary>For the way back.</summary>
    public IScheduler Scheduler { get; }

    /// <summary>How many failures in a row open it.</summary>
    public int MaxFailures { get; }

    /// <summary>How long a call may take.</summary>
    public TimeSpan CallTimeout { get; }

    /// <summary>How long it stays open.</summary>
    public TimeSpan ResetTimeout { get; }

    /// <summary>How long it stays open at most.</summary>
    public TimeSpan MaxResetTimeout { get; }

    /// <summary>By how much longer it stays open each time.</summary>
    public double ExponentialBackoffFactor { get; }

    /// <summary>Up to what part of the time chance adds.</summary>
    public double RandomFactor { get; }

    /// <summary>How many failures there were in a row.</summary>
    public long CurrentFailureCount => Interlocked.Read(ref _failures);

    /// <summary>The last failure; null when there was none.</summary>
    public Exception LastCaughtException => _lastFailure!;

    /// <summary>Whether calls go through.</summary>
    public bool IsClosed => _state == State.Closed;

    /// <summary>Whether calls are refused.</summary>
    public bool IsOpen => _state == State.Open;

    /// <summary>Whether one call goes through as a test.</summary>
    public bool IsHalfOpen => _state == State.HalfOpen;

    /// <summary>Creates one that is closed.</summary>
    public static CircuitBreaker Create(IScheduler scheduler, int maxFailures, TimeSpan callTimeout, TimeSpan resetTimeout) =>
        new(scheduler, maxFailures, callTimeout, resetTimeout);

    /// <summary>One like this that stays open twice as long each time, up to a limit.</summary>
    public CircuitBreaker WithExponentialBackoff(TimeSpan maxResetTimeout) => new(Scheduler, MaxFailures, CallTimeout, ResetTimeout, maxResetTimeout, 2.0, RandomFactor);

    /// <summary>One like this whose times chance makes longer.</summary>
    public CircuitBreaker WithRandomFactor(double randomFactor) => new(Scheduler, MaxFailures, CallTimeout, ResetTimeout, MaxResetTimeout, ExponentialBackoffFactor, randomFactor);

    /// <summary>Makes a call.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    /// <exception cref="TimeoutException">The call took too long.</exception>
    public async Task<T> WithCircuitBreaker<T>(Func<Task<T>> body)
    {
        Enter();
        T result;
        try
        {
            result = await body().WaitAsync(CallTimeout).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Failed(e);
            throw;
        }

        Succeed();
        return result;
    }

    /// <summary>Makes a call.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    /// <exception cref="TimeoutException">The call took too long.</exception>
    public Task WithCircuitBreaker(Func<Task> body) => WithCircuitBreaker<object?>(async () =>
    {
        await body().ConfigureAwait(false);
        return null;
    });

    /// <summary>Makes a call with a state.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    /// <exception cref="TimeoutException">The call took too long.</exception>
    public Task<T> WithCircuitBreaker<T, TState>(TState state, Func<TState, Task<T>> body) => WithCircuitBreaker(() => body(state));

    /// <summary>Makes a call with a state.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    /// <exception cref="TimeoutException">The call took too long.</exception>
    public Task WithCircuitBreaker<TState>(TState state, Func<TState, Task> body) => WithCircuitBreaker(() => body(state));

    /// <summary>Makes a call that blocks.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    public void WithSyncCircuitBreaker(Action body) => WithSyncCircuitBreaker<object?>(() =>
    {
        body();
        return null;
    });

    /// <summary>Makes a call that blocks; one that took too long counts as a failure, but its result comes back.</summary>
    /// <exception cref="OpenCircuitException">The breaker is open.</exception>
    public T WithSyncCircuitBreaker<T>(Func<T> body)
    {
        Enter();
        var start = global::System.Diagnostics.Stopwatch.GetTimestamp();
        T result;
        try
        {
            result = body();
        }
        catch (Exception e)
        {
            Failed(e);
            throw;
        }

        if (global::System.Diagnostics.Stopwatch.GetElapsedTime(start) > CallTimeout)
        {
            Failed(new TimeoutException($"Execution did not complete within the time allotted {CallTimeout}"));
        }
        else
        {
            Succeed();
        }

        return result;
    }

    /// <summary>Has a delegate called when it opens.</summary>
    public CircuitBreaker OnOpen(Action callback) => Add(_onOpen, callback);

    /// <summary>Has a delegate called when it becomes half open.</summary>
    public CircuitBreaker OnHalfOpen(Action callback) => Add(_onHalfOpen, callback);

    /// <summary>Has a delegate called when it closes.</summary>
    public CircuitBreaker OnClose(Action callback) => Add(_onClose, callback);

    /// <summary>Counts a success that happened elsewhere.</summary>
    public void Succeed()
    {
        lock (_gate)
        {
            if (_state == State.Closed)
            {
                _failures = 0;
                return;
            }

            if (_state != State.HalfOpen)
            {
                return;
            }

            _state = State.Closed;
            _failures = 0;
            _nextReset = ResetTimeout;
            _lastFailure = null;
        }

        Notify(_onClose);
    }

    /// <summary>Counts a failure that happened elsewhere.</summary>
    public void Fail() => Failed(new UserCalledFailException());

    private bool _testing;

    private void Enter()
    {
        lock (_gate)
        {
            if (_state == State.Open || (_state == State.HalfOpen && _testing))
            {
                var left = _state == State.Open ? _openUntil - Scheduler.MonotonicClock : TimeSpan.Zero;
                throw new OpenCircuitException(_lastFailure, left > TimeSpan.Zero ? left : TimeSpan.Zero);
            }

            _testing = _state == State.HalfOpen;
        }
    }

    private void Failed(Exception cause)
    {
        long generation;
        TimeSpan reset;
        lock (_gate)
        {
            _lastFailure = cause;
            if (_state == State.Open || (_state == State.Closed && ++_failures < MaxFailures))
            {
                return;
            }

            if (_state == State.HalfOpen)
            {
                var longer = _nextReset * ExponentialBackoffFactor;
                _nextReset = longer < MaxResetTimeout ? longer : MaxResetTimeout;
            }

            _state = State.Open;
            _testing = false;
            generation = ++_generation;
            reset = _nextReset * (1.0 + (Random.Shared.NextDouble() * RandomFactor));
            _openUntil = Scheduler.MonotonicClock + reset;
        }

        Scheduler.Advanced.ScheduleOnce(reset, () =>
        {
            lock (_gate)
            {
                if (_state != State.Open || _generation != generation)
                {
                    return;
                }

                _state = State.HalfOpen;
                _testing = false;
            }

            Notify(_onHalfOpen);
        });
        Notify(_onOpen);
    }

    private CircuitBreaker Add(List<Action> list, Action callback)
    {
        lock (_gate)
        {
            list.Add(callback);
        }

        return this;
    }

    private void Notify(List<Action> list)
    {
        Action[] callbacks;
        lock (_gate)
        {
            callbacks = [.. list];
        }

        foreach (var callback in callbacks)
        {
            ThreadPool.QueueUserWorkItem(static state => ((Action)state!)(), callback);
        }
    }
}

/// <summary>The failure that <see cref="CircuitBreaker.Fail"/> counts.</summary>
public class UserCalledFailException : AkkaException
{
    /// <summary>Creates one.</summary>
    public UserCalledFailException()
        : base("User code caused [CircuitBreaker] to fail because it calls the [Fail()] method.")
    {
    }
}

/// <summary>An operation does not fit the state.</summary>
public class IllegalStateException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public IllegalStateException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public IllegalStateException(string message, Exception innerEx)
        : base(message, innerEx)
    {
    }
}
