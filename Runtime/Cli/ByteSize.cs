using System.Globalization;

namespace Holdfast.Runtime.Cli;

/// <summary>Sizes as users write them: <c>4096</c>, <c>500KiB</c>, <c>10MB</c>, <c>1.5GiB</c>, <c>2TB</c>; as a rate with or without <c>/s</c>.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, double Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1), ("", 1),
    ];

    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        int digits = text.TakeWhile(c => char.IsAsciiDigit(c) || c == '.').Count();
        string unit = text[digits..].Trim();
        (string Unit, double Bytes)[] fitting = [.. Units.Where(u => u.Unit == unit)];
        if (fitting.Length == 0 || !double.TryParse(text[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number))
        {
            return false;
        }

        double product = number * fitting[0].Bytes;
        bytes = product is >= 1 and < long.MaxValue ? (long)product : 0;
        return bytes > 0;
    }

    /// <summary>Understands a rate in bytes per second.</summary>
    public static bool TryParseRate(string text, out long bytesPerSecond) =>
        TryParse(text.EndsWith("/s", StringComparison.Ordinal) ? text[..^2] : text, out bytesPerSecond);
}
