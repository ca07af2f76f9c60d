using NodaTime;

namespace Holdfast.Policies;

/// <summary>A copy on a device.</summary>
/// <param name="Device">The name of the storage device.</param>
/// <param name="Lag">How long after the point the copy must be complete.</param>
public sealed record CopyTo(string Device, Duration Lag) : IComparable<CopyTo>
{
    /// <inheritdoc/>
    public int CompareTo(CopyTo? other) => other is null ? 1 : string.CompareOrdinal(Device, other.Device) is var c and not 0 ? c : Lag.CompareTo(other.Lag);
}

/// <summary>Where copies of a point go.</summary>
/// <param name="To">The named devices, each once, in the order of their names.</param>
/// <param name="AtLeast">How many copies there must be, the named ones included; 0 for no more than the named.</param>
/// <param name="Lag">By when those beyond the named ones must be complete.</param>
public sealed record Copies(ValueList<CopyTo> To, int AtLeast, Duration Lag)
{
    /// <summary>No copies.</summary>
    public static Copies None { get; } = new([], 0, Quantity.Forever);

    /// <summary>The least that both accept: every device, the shorter lag, the larger number.</summary>
    public Copies Join(Copies other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (Equals(other) || other.Equals(None))
        {
            return this;
        }

        var to = To.Concat(other.To).GroupBy(c => c.Device).Select(g => new CopyTo(g.Key, g.Min(c => c.Lag))).Order().ToValueList();
        return new Copies(to, Math.Max(AtLeast, other.AtLeast), Duration.Min(Lag, other.Lag));
    }

    /// <summary>Whether these copies satisfy the other rule as well.</summary>
    public bool Covers(Copies other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return AtLeast >= other.AtLeast && Lag <= other.Lag && other.To.All(w => To.Any(c => c.Device == w.Device && c.Lag <= w.Lag));
    }

    /// <summary>How many copies there will be.</summary>
    public int Count => Math.Max(AtLeast, To.Count);
}

/// <summary>How fast a point can be had back; a faster one is stronger.</summary>
public enum StorageTier
{
    /// <summary>Any.</summary>
    Any,

    /// <summary>Cold: minutes to hours.</summary>
    Cold,

    /// <summary>Warm: seconds.</summary>
    Warm,

    /// <summary>Hot: at once.</summary>
    Hot,
}

/// <summary>How a point is compressed; a later one is stronger.</summary>
public enum Compression
{
    /// <summary>As the store likes.</summary>
    Any,

    /// <summary>Compressed, quickly.</summary>
    Fast,

    /// <summary>Compressed as far as the store can.</summary>
    Strong,
}

/// <summary>How a point is stored.</summary>
/// <param name="Tier">At least this fast.</param>
/// <param name="Compression">At least this strong.</param>
/// <param name="Encrypted">Whether encryption is required.</param>
/// <param name="ImmutableFor">For how long after the point nobody may remove it.</param>
public sealed record StorageTerms(StorageTier Tier, Compression Compression, bool Encrypted, Duration ImmutableFor)
{
    /// <summary>Nothing required.</summary>
    public static StorageTerms Any { get; } = new(StorageTier.Any, Compression.Any, false, Duration.Zero);

    /// <summary>The least that satisfies both.</summary>
    public StorageTerms Join(StorageTerms other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Equals(other) ? this : new StorageTerms(
            Tier > other.Tier ? Tier : other.Tier,
            Compression > other.Compression ? Compression : other.Compression,
            Encrypted || other.Encrypted,
            Duration.Max(ImmutableFor, other.ImmutableFor));
    }

    /// <summary>Whether what satisfies this satisfies the other.</summary>
    public bool Covers(StorageTerms other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Tier >= other.Tier && Compression >= other.Compression && (Encrypted || !other.Encrypted) && ImmutableFor >= other.ImmutableFor;
    }
}

/// <summary>What a single point must be: the join over the rules that it serves.</summary>
/// <param name="Consistency">What it holds together.</param>
/// <param name="Copies">Where its copies go.</param>
/// <param name="Storage">How it is stored.</param>
public sealed record PointTerms(Consistency Consistency, Copies Copies, StorageTerms Storage)
{
    /// <summary>The least demanding terms.</summary>
    public static PointTerms Least { get; } = new(Consistency.Crash, Copies.None, StorageTerms.Any);

    /// <summary>The least that satisfies both.</summary>
    public PointTerms Join(PointTerms other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Equals(other) ? this : new PointTerms(
            Consistency > other.Consistency ? Consistency : other.Consistency, Copies.Join(other.Copies), Storage.Join(other.Storage));
    }

    /// <summary>Whether a point with these terms satisfies the other's.</summary>
    public bool Covers(PointTerms other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Consistency >= other.Consistency && Copies.Covers(other.Copies) && Storage.Covers(other.Storage);
    }
}
