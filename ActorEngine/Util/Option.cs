namespace Akka.Util;

/// <summary>A value that may be absent.</summary>
public readonly struct Option<T>
{
    /// <summary>The absent value.</summary>
    public static readonly Option<T> None = default;

    private Option(T value, bool hasValue)
    {
        Value = value;
        HasValue = hasValue;
    }

    /// <summary>Whether there is a value.</summary>
    public bool HasValue { get; }

    /// <summary>Whether there is none.</summary>
    public bool IsEmpty => !HasValue;

    /// <summary>The value, or the type's default when absent.</summary>
    public T Value { get; }

    /// <summary>Wraps a value; null becomes <see cref="None"/>.</summary>
    public static Option<T> Create(T value) => value is null ? None : new Option<T>(value, true);

    /// <summary>Wraps a value; null becomes <see cref="None"/>.</summary>
    public static implicit operator Option<T>(T value) => Create(value);

    /// <summary>The value, or <paramref name="fallbackValue"/> when absent.</summary>
    public T GetOrElse(T fallbackValue) => HasValue ? Value : fallbackValue;

    /// <summary>Applies <paramref name="selector"/> when there is a value.</summary>
    public Option<TNew> Select<TNew>(Func<T, TNew> selector) => HasValue ? Option<TNew>.Create(selector(Value)) : Option<TNew>.None;

    /// <summary>Applies <paramref name="mapper"/> when there is a value.</summary>
    public Option<TNew> FlatSelect<TNew>(Func<T, Option<TNew>> mapper) => HasValue ? mapper(Value) : Option<TNew>.None;

    /// <summary>Runs <paramref name="action"/> when there is a value.</summary>
    public void OnSuccess(Action<T> action)
    {
        if (HasValue)
        {
            action(Value);
        }
    }

    /// <summary>Equality of presence and value.</summary>
    public bool Equals(Option<T> other) => HasValue == other.HasValue && EqualityComparer<T>.Default.Equals(Value, other.Value);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Option<T> other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HasValue ? Value!.GetHashCode() : 0;

    /// <inheritdoc/>
    public override string ToString() => HasValue ? $"Some<{Value}>" : "None";

    /// <summary>Equality of presence and value.</summary>
    public static bool operator ==(Option<T> left, Option<T> right) => left.Equals(right);

    /// <summary>Inequality of presence or value.</summary>
    public static bool operator !=(Option<T> left, Option<T> right) => !left.Equals(right);
}
