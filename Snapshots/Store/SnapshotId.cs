namespace Holdfast.Snapshots;

/// <summary>
/// The ids of snapshots: milliseconds since 2020 as nine digits, then two random ones, in Crockford's base 32 in lower case
/// (no i, l, o, u). So they sort by time, can be read out aloud, and two stores hardly ever make the same one.
/// </summary>
internal static class SnapshotId
{
    internal const int Length = 11;

    private const string Digits = "0123456789abcdefghjkmnpqrstvwxyz";
    private static readonly DateTimeOffset s_epoch = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    internal static string New(DateTimeOffset created, string? above)
    {
        long milliseconds = Math.Max(0, (created - s_epoch).Ticks / TimeSpan.TicksPerMillisecond);
        long value = (milliseconds << 10) | (uint)Random.Shared.Next(1024);
        if (above is not null && TryDecode(above, out long last) && value <= last)
        {
            value = last + 1;
        }

        return Encode(value);
    }

    internal static bool IsValid(ReadOnlySpan<char> id) => id.Length == Length && id.IndexOfAnyExcept(Digits) < 0;

    private static string Encode(long value) => string.Create(Length, value, static (span, rest) =>
    {
        for (int i = Length - 1; i >= 0; i--)
        {
            span[i] = Digits[(int)(rest & 31)];
            rest >>= 5;
        }
    });

    private static bool TryDecode(string id, out long value)
    {
        value = 0;
        if (!IsValid(id))
        {
            return false;
        }

        foreach (char digit in id)
        {
            value = (value << 5) | (uint)Digits.IndexOf(digit);
        }

        return true;
    }
}
