using System.Text;

namespace Holdfast.Snapshots;

/// <summary>Names of storage objects, and the directory names that stand for them: bytes other than letters, digits, <c>. _ -</c> become %XX.</summary>
internal static class ObjectName
{
    private const int MaxEncoded = 200;

    /// <exception cref="SnapshotStoreException">It is empty, too long, or holds <c>@</c> or control characters (<c>name.invalid</c>).</exception>
    internal static string Encode(string name)
    {
        if (name.Length == 0 || name.AsSpan().IndexOfAnyInRange('\0', '\x1f') >= 0 || name.Contains('@'))
        {
            throw new SnapshotStoreException("name.invalid", $"'{name}' is not a name for a storage object: it must not be empty or hold '@' or control characters");
        }

        var encoded = new StringBuilder();
        foreach (byte one in Encoding.UTF8.GetBytes(name))
        {
            char c = (char)one;
            if (char.IsAsciiLetterOrDigit(c) || c is '-' or '_' || (c == '.' && encoded.Length > 0))
            {
                encoded.Append(c);
            }
            else
            {
                encoded.Append('%').Append(one.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
            }
        }

        return encoded.Length <= MaxEncoded
            ? encoded.ToString()
            : throw new SnapshotStoreException("name.invalid", $"the name '{name}' is too long: {encoded.Length} bytes as a file name, {MaxEncoded} are allowed");
    }

    /// <summary>The name that a directory stands for; null when it stands for none.</summary>
    internal static string? Decode(string directory)
    {
        var bytes = new byte[directory.Length];
        int length = 0;
        for (int i = 0; i < directory.Length; i++)
        {
            if (directory[i] != '%')
            {
                bytes[length++] = (byte)directory[i];
            }
            else if (i + 2 < directory.Length && byte.TryParse(directory.AsSpan(i + 1, 2), System.Globalization.NumberStyles.HexNumber, null, out bytes[length]))
            {
                length++;
                i += 2;
            }
            else
            {
                return null;
            }
        }

        string name = Encoding.UTF8.GetString(bytes, 0, length);
        return name.Length > 0 && name[0] != '.' ? name : null;
    }
}
