using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// A log of commits and removals that the catalogue takes over when somebody needs it, so that a commit does not wait for a database.
/// A line: kind, directory, id, CRC-32C of those as eight hexadecimal digits. A torn line is skipped: the manifests are what counts.
/// </summary>
internal static class EventLog
{
    internal static void Append(StoreLayout layout, StoreEvent kind, string directory, string id)
    {
        string line = $"{(char)kind} {directory} {id}";
        byte[] bytes = Encoding.ASCII.GetBytes($"{line} {Crc32C.Of(Encoding.ASCII.GetBytes(line)):x8}\n");
        using SafeFileHandle file = Libc.OpenLockFile(layout.Events);
        Libc.Lock(file, Libc.LockExclusive, layout.Events);
        Libc.Write(file, bytes, RandomAccess.GetLength(file), layout.Events);
        if (kind == StoreEvent.Forgotten)
        {
            // A manifest that goes without its note would look like a loss. A commit's note may get lost: the manifest speaks for itself.
            Libc.Flush(file, layout.Events);
            Libc.FlushDirectory(layout.Root);
        }
    }

    /// <summary>Hands over what was logged and empties the log.</summary>
    internal static void Drain(StoreLayout layout, Action<IReadOnlyList<(StoreEvent Kind, string Directory, string Id)>> take)
    {
        using SafeFileHandle file = Libc.OpenLockFile(layout.Events);
        Libc.Lock(file, Libc.LockExclusive, layout.Events);
        byte[] bytes = new byte[RandomAccess.GetLength(file)];
        int length = Libc.Read(file, bytes, 0, layout.Events);
        var events = new List<(StoreEvent, string, string)>();
        foreach (string line in Encoding.ASCII.GetString(bytes, 0, length).Split('\n'))
        {
            string[] words = line.Split(' ');
            if (words.Length == 4 && words[0] is "C" or "F"
                && uint.TryParse(words[3], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint crc)
                && crc == Crc32C.Of(Encoding.ASCII.GetBytes($"{words[0]} {words[1]} {words[2]}")))
            {
                events.Add(((StoreEvent)words[0][0], words[1], words[2]));
            }
        }

        take(events);
        RandomAccess.SetLength(file, 0);
    }
}
