using System.Globalization;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>The effective capabilities of this process. See capabilities(7).</summary>
internal static class Capabilities
{
    /// <summary>Code of the refusal where one is missing.</summary>
    public const string Missing = "rights.missing";

    private const int PR_CAP_AMBIENT = 47, PR_CAP_AMBIENT_RAISE = 2, PR_CAP_AMBIENT_CLEAR_ALL = 4;

    public const int NetAdmin = 12, SysPtrace = 19, SysAdmin = 21, SysTime = 25, CheckpointRestore = 40;

    /// <summary>The capabilities that a space of this kind takes.</summary>
    public static IReadOnlyList<int> For(SpaceRequest request)
    {
        List<int> needed = [SysAdmin];
        if (request.Isolate.Contains("net"))
        {
            needed.Add(NetAdmin);
        }

        if (request.MonotonicOffset != default || request.BootTimeOffset != default)
        {
            needed.Add(SysTime);
        }

        return needed;
    }

    /// <summary>Refuses when one of them is missing, naming all that are.</summary>
    /// <param name="what">What needs them.</param>
    /// <param name="needed">Their numbers.</param>
    /// <param name="effective">The bits of CapEff, lowest first; those of this process when null.</param>
    /// <exception cref="BridgeException">Code <see cref="Missing"/>.</exception>
    public static void Require(string what, IReadOnlyList<int> needed, ulong? effective = null)
    {
        ulong have = effective ?? Effective();
        IReadOnlyList<string> missing = Lacking(needed, have);
        if (missing.Count > 0)
        {
            throw new BridgeException(
                Missing, what, $"this process lacks {string.Join(", ", missing)}",
                "run it as root, or give it these capabilities (setcap, or --cap-add of the container)");
        }
    }

    /// <summary>The names of those that are not among the effective ones.</summary>
    public static IReadOnlyList<string> Lacking(IReadOnlyList<int> needed, ulong effective) => [.. needed.Where(c => (effective & (1UL << c)) == 0).Select(NameOf)];

    /// <summary>CapEff of /proc/self/status.</summary>
    public static ulong Effective() => Read("self", "CapEff:");

    /// <summary>Makes the inheritable capabilities of the calling thread ambient ones: a program that it starts has them, whoever its user is.</summary>
    public static void RaiseAmbient()
    {
        ulong inheritable = Read("thread-self", "CapInh:");
        for (int capability = 0; capability < 64; capability++)
        {
            // Fails for what is not permitted, which then is not passed on.
            _ = (inheritable >> capability & 1) != 0 ? SpaceNative.ProcessControl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (nuint)capability, 0, 0) : 0;
        }
    }

    /// <summary>Ends that again.</summary>
    public static void ClearAmbient() => _ = SpaceNative.ProcessControl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

    private static ulong Read(string task, string name)
    {
        string line = File.ReadLines($"/proc/{task}/status").First(l => l.StartsWith(name, StringComparison.Ordinal));
        return ulong.Parse(line[name.Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private static string NameOf(int capability) => capability switch
    {
        NetAdmin => "CAP_NET_ADMIN",
        SysPtrace => "CAP_SYS_PTRACE",
        SysAdmin => "CAP_SYS_ADMIN",
        SysTime => "CAP_SYS_TIME",
        CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        _ => $"capability {capability}",
    };
}
