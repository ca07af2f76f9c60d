namespace Akka.Util.Internal;

/// <summary>An integer that threads share without a lock.</summary>
public class AtomicCounter
{
    private int _value;

    /// <summary>Starts at 0, so that <see cref="Next"/> first yields 1.</summary>
    public AtomicCounter()
    {
    }

    /// <summary>Starts at <paramref name="initialValue"/>.</summary>
    public AtomicCounter(int initialValue) => _value = initialValue;

    /// <summary>The value at this moment.</summary>
    public int Current => Volatile.Read(ref _value);

    /// <summary>Increments and returns the new value.</summary>
    public int Next() => Interlocked.Increment(ref _value);

    /// <summary>Increments and returns the new value.</summary>
    public int IncrementAndGet() => Interlocked.Increment(ref _value);

    /// <summary>Decrements and returns the new value.</summary>
    public int DecrementAndGet() => Interlocked.Decrement(ref _value);

    /// <summary>Increments and returns the former value.</summary>
    public int GetAndIncrement() => Interlocked.Increment(ref _value) - 1;

    /// <summary>Adds and returns the former value.</summary>
    public int GetAndAdd(int amount) => Interlocked.Add(ref _value, amount) - amount;

    /// <summary>Adds and returns the new value.</summary>
    public int AddAndGet(int amount) => Interlocked.Add(ref _value, amount);

    /// <summary>Sets the value to 0.</summary>
    public void Reset() => Interlocked.Exchange(ref _value, 0);
}

/// <summary>A 64-bit integer that threads share without a lock.</summary>
public class AtomicCounterLong
{
    private long _value;

    /// <summary>Starts at 0, so that <see cref="Next"/> first yields 1.</summary>
    public AtomicCounterLong()
    {
    }

    /// <summary>Starts at <paramref name="value"/>.</summary>
    public AtomicCounterLong(long value) => _value = value;

    /// <summary>The value at this moment.</summary>
    public long Current => Volatile.Read(ref _value);

    /// <summary>Increments and returns the new value.</summary>
    public long Next() => Interlocked.Increment(ref _value);

    /// <summary>Increments and returns the new value.</summary>
    public long IncrementAndGet() => Interlocked.Increment(ref _value);

    /// <summary>Increments and returns the former value.</summary>
    public long GetAndIncrement() => Interlocked.Increment(ref _value) - 1;

    /// <summary>Adds and returns the former value.</summary>
    public long GetAndAdd(long amount) => Interlocked.Add(ref _value, amount) - amount;

    /// <summary>Adds and returns the new value.</summary>
    public long AddAndGet(long amount) => Interlocked.Add(ref _value, amount);

    /// <summary>Sets the value to 0.</summary>
    public void Reset() => Interlocked.Exchange(ref _value, 0);

    /// <inheritdoc/>
    public override string ToString() => Current.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
