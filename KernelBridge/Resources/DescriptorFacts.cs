using System.Globalization;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What procfs says of one open descriptor; see proc(5) on fd and fdinfo.</summary>
internal sealed class DescriptorFacts
{
    private const int FASYNC = 0x2000;

    /// <summary>The process as the host sees it.</summary>
    public required int Pid { get; init; }

    /// <summary>The process as its own pid namespace sees it.</summary>
    public required int InnerPid { get; init; }

    public required int Number { get; init; }

    /// <summary>What the link in /proc/PID/fd says.</summary>
    public required string Link { get; init; }

    public required FileIdentity Identity { get; init; }

    /// <summary>Flags of open(2), without O_CLOEXEC and O_LARGEFILE.</summary>
    public required int Flags { get; init; }

    public required bool CloseOnExec { get; init; }

    public required long Position { get; init; }

    public required IReadOnlyList<string> Locks { get; init; }

    public bool Deleted => Link.EndsWith(" (deleted)", StringComparison.Ordinal);

    /// <summary>The path without the mark of a deleted file.</summary>
    public string Path => Deleted ? Link[..^10] : Link;

    public int AccessMode => Flags & Libc.O_ACCMODE;

    public bool Writable => AccessMode != Libc.O_RDONLY && (Flags & Libc.O_PATH) == 0;

    public bool Async => (Flags & FASYNC) != 0;

    /// <summary>Opens what the descriptor refers to, as a new open file description of ours.</summary>
    public string MagicPath => $"/proc/{Pid}/fd/{Number}";

    /// <summary>Every descriptor of a process; one that closes meanwhile is left out.</summary>
    public static List<DescriptorFacts> ReadAll(int pid, int innerPid)
    {
        List<DescriptorFacts> all = [];
        foreach (int number in ProcFs.Numbers($"/proc/{pid}/fd"))
        {
            string? link = ProcFs.TryLink($"/proc/{pid}/fd/{number}");
            FileIdentity? identity = FileIdentity.TryOf($"/proc/{pid}/fd/{number}");
            string? info = ProcFs.TryText($"/proc/{pid}/fdinfo/{number}");
            if (link is null || identity is null || info is null)
            {
                continue;
            }

            int flags = 0;
            long position = 0;
            List<string> locks = [];
            foreach (string line in info.Split('\n'))
            {
                if (line.StartsWith("pos:", StringComparison.Ordinal))
                {
                    position = long.Parse(line.AsSpan(4).Trim(), CultureInfo.InvariantCulture);
                }
                else if (line.StartsWith("flags:", StringComparison.Ordinal))
                {
                    flags = Convert.ToInt32(line[6..].Trim(), 8);
                }
                else if (line.StartsWith("lock:", StringComparison.Ordinal))
                {
                    locks.Add(line[5..].Trim());
                }
            }

            all.Add(new DescriptorFacts
            {
                Pid = pid, InnerPid = innerPid, Number = number, Link = link, Identity = identity,
                Flags = flags & ~(Libc.O_CLOEXEC | Libc.O_LARGEFILE), CloseOnExec = (flags & Libc.O_CLOEXEC) != 0, Position = position, Locks = locks,
            });
        }

        return all;
    }

    public Refusal Refuse(string code, string why, string remedy) => new(code, InnerPid, Number, Link, why, remedy);
}
