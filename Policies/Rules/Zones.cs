using System.Collections.Concurrent;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>Time zones of the IANA database that NodaTime carries: the same on every node, whatever the host has installed.</summary>
public static class Zones
{
    private static readonly ConcurrentDictionary<string, DateTimeZone> Known = new() { ["UTC"] = DateTimeZone.Utc };

    /// <summary>The zone of an IANA name such as <c>Europe/Berlin</c>, or null.</summary>
    public static DateTimeZone? Find(string id)
    {
        if (Known.TryGetValue(id, out var zone))
        {
            return zone;
        }

        zone = DateTimeZoneProviders.Tzdb.GetZoneOrNull(id);
        return zone is null ? null : Known.GetOrAdd(id, zone);
    }

    /// <summary>The zone of an IANA name.</summary>
    /// <exception cref="ArgumentException">There is no such zone.</exception>
    public static DateTimeZone Get(string id) => Find(id) ?? throw new ArgumentException($"there is no time zone '{id}'; use an IANA name such as Europe/Berlin", nameof(id));

    /// <summary>
    /// The instant of a local time. A time that daylight saving skips is moved forward by the length of the gap, one that
    /// occurs twice means the first: so that every local day has every anchor exactly once.
    /// </summary>
    internal static long ToSeconds(DateTimeZone zone, LocalDateTime local)
    {
        if (ReferenceEquals(zone, DateTimeZone.Utc))
        {
            return local.InUtc().ToInstant().ToUnixTimeSeconds();
        }

        return zone.AtLeniently(local).ToInstant().ToUnixTimeSeconds();
    }
}
