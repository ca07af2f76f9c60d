using System.Globalization;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Locks of flock(2) and of fcntl(2): those of open files (flock, F_OFD_SETLK) belong to the open file, record locks (F_SETLK) to the process. Whoever
/// waits for one is in an interrupted system call, which is made again.
/// </summary>
internal static class FileLocks
{
    private const int F_SETLK = 6, F_OFD_SETLK = 37;
    private const ulong LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4;

    /// <summary>Why a descriptor's locks cannot be captured, or null.</summary>
    public static Refusal? Check(DescriptorFacts facts) => facts.Locks.FirstOrDefault(line => Parse(line) is null) is { } line
        ? facts.Refuse("fd.lock", $"it holds a lease or a lock of an unknown kind ({line})", "release it before the checkpoint")
        : null;

    /// <summary>The locks of an open file; null when it has none.</summary>
    public static IReadOnlyList<FileLockImage>? OfFile(DescriptorFacts facts)
    {
        List<FileLockImage> locks = [.. facts.Locks.Select(Parse).OfType<FileLockImage>().Where(held => held.Kind != FileLockKind.Record)];
        return locks.Count > 0 ? locks : null;
    }

    /// <summary>The record locks of a process, by the lowest descriptor through which each was taken.</summary>
    public static IReadOnlyList<RecordLockImage> OfProcess(IEnumerable<DescriptorFacts> descriptors)
    {
        List<RecordLockImage> locks = [];
        HashSet<(ulong, ulong, long, long)> seen = [];
        foreach (DescriptorFacts facts in descriptors.OrderBy(facts => facts.Number))
        {
            foreach (FileLockImage held in facts.Locks.Select(Parse).OfType<FileLockImage>().Where(held => held.Kind == FileLockKind.Record))
            {
                if (seen.Add((facts.Identity.Device, facts.Identity.Inode, held.Start, held.Length)))
                {
                    locks.Add(new RecordLockImage(facts.Number, held));
                }
            }
        }

        return locks;
    }

    /// <summary>Composes what takes the locks of an open file again.</summary>
    public static void Take(SyscallTape tape, OpenFileImage file, int number)
    {
        foreach (FileLockImage held in file.Locks ?? [])
        {
            if (held.Kind == FileLockKind.Whole)
            {
                tape.Add($"locking {file.Description} (flock)", X64.Flock, (ulong)number, (held.Exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
            }
            else
            {
                tape.Add($"locking {file.Description} (open file description)", X64.Fcntl, (ulong)number, F_OFD_SETLK, tape.Place(Range(held)));
            }
        }
    }

    /// <summary>Composes what takes the record locks of a process again. Closing any other descriptor of the file would release them.</summary>
    public static void Take(SyscallTape tape, ProcessImage process)
    {
        foreach (RecordLockImage record in process.RecordLocks)
        {
            tape.Add($"record lock on descriptor {record.Number} of process {process.Pid}", X64.Fcntl, (ulong)record.Number, F_SETLK, tape.Place(Range(record.Lock)));
        }
    }

    /// <summary>Whether a lock can be one.</summary>
    public static bool IsValid(FileLockImage? held) => held is { Start: >= 0, Length: >= 0 } && Enum.IsDefined(held.Kind) && held.Start <= long.MaxValue - held.Length;

    // 1: POSIX  ADVISORY  WRITE 21732 fe:00:11665852 5 14
    private static FileLockImage? Parse(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        FileLockKind? kind = words.Length < 8 || words[2] != "ADVISORY" ? null : words[1] switch
        {
            "FLOCK" => FileLockKind.Whole,
            "OFDLCK" => FileLockKind.OpenFile,
            "POSIX" => FileLockKind.Record,
            _ => null,
        };
        if (kind is null || words[3] is not ("READ" or "WRITE"))
        {
            return null;
        }

        long start = long.Parse(words[6], CultureInfo.InvariantCulture);
        return new FileLockImage(kind.Value, words[3] == "WRITE", start, words[7] == "EOF" ? 0 : long.Parse(words[7], CultureInfo.InvariantCulture) - start + 1);
    }

    /// <summary><c>struct flock</c>: type, whence, start, length, pid.</summary>
    private static (ulong, long, long, ulong) Range(FileLockImage held) => (held.Exclusive ? 1ul : 0, held.Start, held.Length, 0);
}

/// <summary>Whose a lock is, and of what.</summary>
internal enum FileLockKind
{
    /// <summary>flock(2): the open file's, of the whole file.</summary>
    Whole,

    /// <summary>F_OFD_SETLK of fcntl(2): the open file's, of a range.</summary>
    OpenFile,

    /// <summary>F_SETLK of fcntl(2): the process's, of a range.</summary>
    Record,
}

/// <summary>A lock.</summary>
/// <param name="Kind">Whose it is.</param>
/// <param name="Exclusive">For writing.</param>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes; 0 up to the end, however far that is.</param>
internal sealed record FileLockImage(FileLockKind Kind, bool Exclusive, long Start, long Length);

/// <summary>A record lock of a process.</summary>
/// <param name="Number">The descriptor through which it is taken.</param>
/// <param name="Lock">The lock.</param>
internal sealed record RecordLockImage(int Number, FileLockImage Lock);
