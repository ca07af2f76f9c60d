using System.Globalization;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>Durations, sizes and rates as they are written in a policy, and back.</summary>
public static class Quantity
{
    /// <summary>A duration without an end, written <c>forever</c>.</summary>
    public static Duration Forever { get; } = Duration.FromDays(3_650_000);

    private static readonly (string Name, Duration Unit)[] Durations =
    [
        ("w", Duration.FromDays(7)), ("d", Duration.FromDays(1)), ("h", Duration.FromHours(1)), ("m", Duration.FromMinutes(1)),
        ("s", Duration.FromSeconds(1)), ("ms", Duration.FromMilliseconds(1)),
        ("week", Duration.FromDays(7)), ("weeks", Duration.FromDays(7)), ("day", Duration.FromDays(1)), ("days", Duration.FromDays(1)),
        ("hour", Duration.FromHours(1)), ("hours", Duration.FromHours(1)), ("minute", Duration.FromMinutes(1)), ("minutes", Duration.FromMinutes(1)),
        ("second", Duration.FromSeconds(1)), ("seconds", Duration.FromSeconds(1)), ("y", Duration.FromDays(365)),
    ];

    private static readonly (string Name, long Unit)[] Sizes =
    [
        ("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10), ("B", 1),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000),
    ];

    /// <summary>Reads <c>90s</c>, <c>1h30m</c>, <c>2 weeks</c>, <c>1y</c> (365 days), <c>forever</c>. No sign: never negative.</summary>
    public static bool TryParseDuration(string text, out Duration value)
    {
        value = Duration.Zero;
        var rest = text.AsSpan().Trim();
        if (rest is "forever")
        {
            value = Forever;
            return true;
        }

        if (rest is "0")
        {
            return true;
        }

        if (rest.IsEmpty)
        {
            return false;
        }

        while (!rest.IsEmpty)
        {
            if (!TakeNumber(ref rest, out var number) || !TakeUnit(ref rest, out var name))
            {
                return false;
            }

            var unit = Array.Find(Durations, d => d.Name == name).Unit;
            if (unit == Duration.Zero || number * unit.TotalSeconds > Forever.TotalSeconds)
            {
                return false;
            }

            value += unit * number;
        }

        return true;
    }

    /// <summary>Reads <c>512MiB</c>, <c>2 GB</c>, <c>0</c>: bytes.</summary>
    public static bool TryParseSize(string text, out long bytes)
    {
        bytes = 0;
        var rest = text.AsSpan().Trim();
        if (!TakeNumber(ref rest, out var number))
        {
            return false;
        }

        if (rest.IsEmpty)
        {
            bytes = (long)number;
            return number == 0;
        }

        if (!TakeUnit(ref rest, out var name) || !rest.IsEmpty)
        {
            return false;
        }

        var unit = Array.Find(Sizes, s => s.Name == name).Unit;
        if (unit == 0 || number * unit > long.MaxValue / 2)
        {
            return false;
        }

        bytes = (long)(number * unit);
        return true;
    }

    /// <summary>Reads <c>50MiB/s</c>: bytes per second.</summary>
    public static bool TryParseRate(string text, out long bytesPerSecond)
    {
        bytesPerSecond = 0;
        var trimmed = text.Trim();
        return trimmed.EndsWith("/s", StringComparison.Ordinal) && TryParseSize(trimmed[..^2], out bytesPerSecond);
    }

    /// <summary>Writes a duration so that <see cref="TryParseDuration"/> reads the same value (to the millisecond).</summary>
    public static string Format(Duration value)
    {
        if (value >= Forever)
        {
            return "forever";
        }

        if (value == Duration.Zero)
        {
            return "0s";
        }

        var text = "";
        var rest = value;
        foreach (var (name, unit) in Durations.AsSpan(1, 5))
        {
            var count = Math.Floor(rest / unit);
            if (count > 0)
            {
                text += count.ToString("0", CultureInfo.InvariantCulture) + name;
                rest -= unit * count;
            }
        }

        return text.Length == 0 ? "0s" : text;
    }

    /// <summary>Writes a size in the largest binary unit that divides it, so that it is read back the same.</summary>
    public static string FormatExactSize(long bytes)
    {
        foreach (var (name, unit) in Sizes.AsSpan(0, 5))
        {
            if (bytes >= unit && bytes % unit == 0)
            {
                return (bytes / unit).ToString(CultureInfo.InvariantCulture) + name;
            }
        }

        return "0B";
    }

    /// <summary>Writes a size for people: three significant digits and a binary unit.</summary>
    public static string FormatSize(double bytes)
    {
        foreach (var (name, unit) in Sizes.AsSpan(0, 4))
        {
            if (bytes >= unit)
            {
                var value = bytes / unit;
                return value.ToString(value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00", CultureInfo.InvariantCulture) + " " + name;
            }
        }

        return bytes.ToString("0", CultureInfo.InvariantCulture) + " B";
    }

    private static bool TakeNumber(ref ReadOnlySpan<char> rest, out double number)
    {
        var length = 0;
        while (length < rest.Length && (char.IsAsciiDigit(rest[length]) || rest[length] == '.'))
        {
            length++;
        }

        var read = double.TryParse(rest[..length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number);
        rest = rest[length..].TrimStart();
        return read;
    }

    private static bool TakeUnit(ref ReadOnlySpan<char> rest, out string unit)
    {
        var length = 0;
        while (length < rest.Length && char.IsAsciiLetter(rest[length]))
        {
            length++;
        }

        unit = rest[..length].ToString();
        rest = rest[length..].TrimStart();
        return length > 0;
    }
}
