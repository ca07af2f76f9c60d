using System.Globalization;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>Further huge pages of 2 MiB that the host has for as long as a test needs them; none where this user may not ask for any. Other tests may do the same at the same time.</summary>
internal sealed class HugePagePool : IDisposable
{
    private const string Pool = "/proc/sys/vm/nr_hugepages";

    private int added;

    public HugePagePool(int count)
    {
        if (count > 0 && File.Exists(Pool) && Environment.UserName == "root")
        {
            added = Change(count);
        }
    }

    public void Dispose()
    {
        if (added > 0)
        {
            _ = Change(-added);
            added = 0;
        }
    }

    /// <summary>Makes the pool larger or smaller.</summary>
    /// <returns>By how much it became so.</returns>
    private static int Change(int count)
    {
        using FileStream turn = WaitForTurn();
        var before = Read();
        File.WriteAllText(Pool, Math.Max(0, before + count).ToString(CultureInfo.InvariantCulture));
        return Read() - before;
    }

    private static int Read() => int.Parse(File.ReadAllText(Pool), CultureInfo.InvariantCulture);

    private static FileStream WaitForTurn()
    {
        FileStream? turn = null;
        Until.Required(
            () =>
            {
                try
                {
                    turn = new FileStream(Path.Combine(Path.GetTempPath(), "holdfast-huge-pages.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                    return true;
                }
                catch (IOException)
                {
                    return false;
                }
            },
            () => "the turn to change the number of huge pages never came");
        return turn!;
    }
}
