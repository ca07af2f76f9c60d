using System.Globalization;

namespace Holdfast.Runtime.Cli;

/// <summary>Durations as users write them: <c>250ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>, <c>1d</c>; a bare number is seconds.</summary>
internal static class Duration
{
    private static readonly (string Unit, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("", 1)];

    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = default;
        int digits = text.TakeWhile(c => char.IsAsciiDigit(c) || c == '.').Count();
        (string Unit, double Seconds) unit = Units.FirstOrDefault(u => u.Unit == text[digits..]);
        if (unit.Unit is null || !double.TryParse(text[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number))
        {
            return false;
        }

        double seconds = number * unit.Seconds;
        // Timers end at 2^32 - 2 ms.
        if (seconds is < 0.001 or > 40 * 86400)
        {
            return false;
        }

        duration = TimeSpan.FromSeconds(seconds);
        return true;
    }
}
