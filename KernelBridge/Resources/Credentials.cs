using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>User and group ids, supplementary groups, capabilities, securebits, no_new_privs; see credentials(7) and capabilities(7).</summary>
/// <remarks>The kernel keeps them per thread.</remarks>
internal static class Credentials
{
    private const ulong SetPCap = 1ul << 8;

    private const int PR_SET_DUMPABLE = 4, PR_SET_KEEPCAPS = 8, PR_CAPBSET_DROP = 24, PR_SET_SECUREBITS = 28,
        PR_SET_NO_NEW_PRIVS = 38, PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_RAISE = 2;

    public static CredentialsImage Capture(ProcessStatus status, IThreadState state)
    {
        int[] uids = status.Numbers("Uid");
        int[] gids = status.Numbers("Gid");
        return new CredentialsImage
        {
            // In an ordinary user's namespace all look like the one that stands for those outside, and none can be changed.
            UserIds = uids, GroupIds = gids, Groups = Authority.Own.SetsGroups ? status.Numbers("Groups") : [.. Authority.Own.Groups],
            Inheritable = status.Mask("CapInh"), Permitted = status.Mask("CapPrm"), Effective = status.Mask("CapEff"), Bounding = status.Mask("CapBnd"),
            Ambient = status.Mask("CapAmb"), NoNewPrivileges = status.Number("NoNewPrivs") != 0,
            SecureBits = state.SecureBits, Dumpable = state.Dumpable,
        };
    }

    /// <summary>Why these credentials cannot be given to a process here; null when they can.</summary>
    public static Refusal? CheckRestore(ProcessImage process)
    {
        Authority own = Authority.Own;
        Refusal Refuse(string what, string why, string remedy) => new("rights.credentials", process.Pid, null, what, why, remedy);
        foreach (CredentialsImage image in process.Threads.Select(thread => thread.Credentials))
        {
            if (!own.SetsUsers && (image.UserIds.Any(id => id != own.User) || image.GroupIds.Any(id => id != own.Group)))
            {
                return Refuse($"user {image.UserIds[1]}, group {image.GroupIds[1]}", $"user {own.User}, group {own.Group} can only restore what ran as himself", "restore as root");
            }

            if (!own.SetsGroups && !image.Groups.ToHashSet().SetEquals(own.Groups))
            {
                return Refuse(
                    $"supplementary groups {List(image.Groups)}", $"without root they cannot be set, and those of this session are {List(own.Groups)}",
                    "restore from a session with the same groups, or as root");
            }

            if (own.IsOfNamespace && image.Permitted != 0)
            {
                return Refuse("capabilities", "it had some, which an ordinary user cannot give it", "restore as root");
            }
        }

        return null;
    }

    private static string List(IReadOnlyList<int> groups) => groups.Count == 0 ? "none" : string.Join(", ", groups);

    /// <summary>Composes what gives the calling thread these credentials. Afterwards it may have no rights left, so it comes last.</summary>
    /// <param name="image">The credentials.</param>
    /// <param name="ownBounding">The bounding set of the restorer: what it lacks is not dropped again.</param>
    /// <param name="ownPermitted">The permitted set of the restorer.</param>
    /// <param name="tape">The tape.</param>
    public static void Restore(CredentialsImage image, ulong ownBounding, ulong ownPermitted, SyscallTape tape)
    {
        for (int capability = 0; capability < 64; capability++)
        {
            if ((ownBounding & ~image.Bounding) >> capability is var rest && (rest & 1) != 0)
            {
                tape.Add($"dropping capability {capability}", X64.Prctl, PR_CAPBSET_DROP, (ulong)capability, 0, 0, 0);
            }
        }

        if (Authority.Own.SetsGroups)
        {
            tape.Add("supplementary groups", X64.Setgroups, (ulong)image.Groups.Length, tape.Place(MemoryMarshal.AsBytes<int>(image.Groups)));
        }

        tape.Add("group ids", X64.Setresgid, Id(image.GroupIds[0]), Id(image.GroupIds[1]), Id(image.GroupIds[2]));
        tape.Add("file-system group id", X64.Setfsgid, Id(image.GroupIds[3]));
        tape.Add("keeping capabilities", X64.Prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
        tape.Add("user ids", X64.Setresuid, Id(image.UserIds[0]), Id(image.UserIds[1]), Id(image.UserIds[2]));
        tape.Add("file-system user id", X64.Setfsuid, Id(image.UserIds[3]));

        // Leaving user id 0 has emptied the effective set. CAP_SETPCAP is needed once more: for the securebits, which also end what "keeping" began.
        ulong working = image.Permitted | (ownPermitted & SetPCap);
        AddCapset(tape, working & SetPCap | image.Effective, working, image.Inheritable);
        for (int capability = 0; capability < 64; capability++)
        {
            if ((image.Ambient >> capability & 1) != 0)
            {
                tape.Add($"ambient capability {capability}", X64.Prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (ulong)capability, 0, 0);
            }
        }

        if ((working & SetPCap) != 0)
        {
            tape.Add("securebits", X64.Prctl, PR_SET_SECUREBITS, (ulong)image.SecureBits, 0, 0, 0);
        }
        else
        {
            tape.Add("keeping capabilities no longer", X64.Prctl, PR_SET_KEEPCAPS, (ulong)(image.SecureBits >> 4 & 1), 0, 0, 0);
        }

        AddCapset(tape, image.Effective, image.Permitted, image.Inheritable);
        if (image.NoNewPrivileges)
        {
            tape.Add("no_new_privs", X64.Prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }

        // Changing ids cleared it. The value 2 (root only) cannot be set by a process itself.
        tape.Add("dumpable", X64.Prctl, PR_SET_DUMPABLE, image.Dumpable == 1 ? 1ul : 0, 0, 0, 0);
    }

    private static void AddCapset(SyscallTape tape, ulong effective, ulong permitted, ulong inheritable)
    {
        (uint Version, int Pid) header = (0x20080522, 0);
        ReadOnlySpan<uint> sets =
        [
            (uint)effective, (uint)permitted, (uint)inheritable, (uint)(effective >> 32), (uint)(permitted >> 32), (uint)(inheritable >> 32),
        ];
        tape.Add("capabilities", X64.Capset, tape.Place(header), tape.Place(MemoryMarshal.AsBytes(sets)));
    }

    private static ulong Id(int id) => (uint)id;
}

/// <summary>Credentials of a process.</summary>
internal sealed record CredentialsImage
{
    /// <summary>Real, effective, saved, file system.</summary>
    public required int[] UserIds { get; init; }

    /// <summary>Real, effective, saved, file system.</summary>
    public required int[] GroupIds { get; init; }

    public required int[] Groups { get; init; }

    public required ulong Inheritable { get; init; }

    public required ulong Permitted { get; init; }

    public required ulong Effective { get; init; }

    public required ulong Bounding { get; init; }

    public required ulong Ambient { get; init; }

    public required bool NoNewPrivileges { get; init; }

    public required int SecureBits { get; init; }

    public required int Dumpable { get; init; }
}
