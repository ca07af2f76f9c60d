using System.Globalization;

namespace Holdfast.Snapshots;

/// <summary>How people write which snapshot they mean.</summary>
internal static class SnapshotAddress
{
    internal static (string Name, string Which) Split(string address)
    {
        int at = address.LastIndexOf('@');
        return at < 0 ? (address, "latest") : (address[..at], address[(at + 1)..]);
    }

    /// <summary>Understands <c>latest</c>, <c>1st</c>, <c>2nd</c>… (from the oldest) and <c>-1</c>, <c>-2</c>… (back from the latest).</summary>
    /// <returns>False when it is none of these. The index may be outside the list.</returns>
    internal static bool TryPosition(string which, int count, out int index)
    {
        index = count - 1;
        if (which == "latest")
        {
            return true;
        }

        if (which.StartsWith('-') && int.TryParse(which.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out int back))
        {
            index = count - 1 - back;
            return true;
        }

        if (which.Length > 2 && which[^2..] is "st" or "nd" or "rd" or "th"
            && int.TryParse(which.AsSpan(0, which.Length - 2), NumberStyles.None, CultureInfo.InvariantCulture, out int position))
        {
            index = position - 1;
            return true;
        }

        return false;
    }
}
