using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// What this process may do to applications, found out once. Root has the rights that this takes; an ordinary user has them over what runs in a user namespace
/// of his own, which <see cref="Enter"/> takes his supervisor into (user_namespaces(7)).
/// </summary>
public sealed class Authority
{
    /// <summary>Set in the environment of a supervisor that has entered a user namespace: the true supplementary groups of what runs there, which cannot be seen inside.</summary>
    public const string Variable = "HOLDFAST_NAMESPACE_GROUPS";

    private static readonly Lazy<Authority> own = new(() => new Authority());

    private readonly Lazy<bool> followsMappedFiles = new(MappedFiles.MayBeFollowed);
    private readonly Lazy<bool> repairsConnections = new(TcpSockets.MayRepair);

    private Authority()
    {
        ulong effective = Capabilities.Effective();
        Missing = Capabilities.Lacking([Capabilities.SysPtrace, Capabilities.SysAdmin], effective);
        SetsGroups = Supervises && ProcFs.TryText("/proc/self/setgroups")?.Trim() != "deny";
        long users = MappedIds("/proc/self/uid_map");
        SetsUsers = Supervises && users > 1;
        IsOfHost = Supervises && users == uint.MaxValue;
        ProcessStatus status = ProcessStatus.Read(Environment.ProcessId);
        User = status.Numbers("Uid")[1];
        Group = status.Numbers("Gid")[1];
        string? entered = Supervises ? Environment.GetEnvironmentVariable(Variable) : null;
        IsOfNamespace = entered is not null && !IsOfHost;
        Groups = IsOfNamespace
            ? [.. entered!.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(word => int.Parse(word, CultureInfo.InvariantCulture))]
            : status.Numbers("Groups");
    }

    /// <summary>That of this process.</summary>
    public static Authority Own => own.Value;

    /// <summary>Names of the capabilities that it lacks to supervise applications.</summary>
    public IReadOnlyList<string> Missing { get; }

    /// <summary>It may start, checkpoint and restore applications.</summary>
    public bool Supervises => Missing.Count == 0;

    /// <summary>Its capabilities are those of the initial user namespace, which some calls of the kernel want: no other maps every user.</summary>
    public bool IsOfHost { get; }

    /// <summary>It has entered a user namespace by <see cref="Enter"/>: its capabilities are those of the namespace.</summary>
    public bool IsOfNamespace { get; }

    /// <summary>It may give processes other supplementary groups than its own. In an ordinary user's namespace nobody may (setgroups(2)).</summary>
    public bool SetsGroups { get; }

    /// <summary>There are more users than one in its user namespace.</summary>
    public bool SetsUsers { get; }

    /// <summary>The effective user of this process.</summary>
    public int User { get; }

    /// <summary>Its effective group.</summary>
    public int Group { get; }

    /// <summary>The supplementary groups of this process, as the host numbers them.</summary>
    public IReadOnlyList<int> Groups { get; }

    /// <summary>It may follow the links of /proc/PID/map_files, which takes CAP_CHECKPOINT_RESTORE in the initial user namespace (proc(5)).</summary>
    public bool FollowsMappedFiles => followsMappedFiles.Value;

    /// <summary>It may make TCP connections of the host's network in repair mode, which takes CAP_NET_ADMIN over that (tcp(7)).</summary>
    public bool RepairsConnections => repairsConnections.Value;

    /// <summary>
    /// Takes this process into a user namespace in which it may supervise: it starts again there, with the same pid, arguments, environment and descriptors. Does not
    /// return then; returns at once where it may supervise as it is.
    /// </summary>
    /// <param name="application">The application whose namespace it is to be; null makes a new one.</param>
    /// <exception cref="BridgeException">The kernel refuses (<c>rights.missing</c>), with what to change.</exception>
    public void Enter(ApplicationTarget? application = null)
    {
        if (Supervises)
        {
            return;
        }

        if (application?.Scope == ApplicationScope.Tree)
        {
            throw Refused($"process tree {application.RootPid}", "what Holdfast did not start is reached as root only", "run as root, or start the application with 'holdfast run'");
        }

        if (application is not null && UserNamespace.IsOursOrHidden(application.RootPid))
        {
            throw Refused($"the application of process {application.RootPid}", $"this process lacks {string.Join(", ", Missing)}, and the application has no user namespace of its own", "run as who started it");
        }

        if (application is null && UserNamespace.Try() is { } problem)
        {
            throw Refused("a virtualisation space without root", problem.Why, problem.Remedy);
        }

        UserNamespace.Enter(application?.RootPid);
    }

    /// <summary>
    /// Refuses an application in a user namespace that its supervisor has entered, for whoever is outside: neither that supervisor nor the init of the space can tell even root,
    /// who has no number in there, from anybody else, and they hear nobody.
    /// </summary>
    /// <exception cref="BridgeException">It is one (<c>rights.missing</c>).</exception>
    public void RequireReach(ApplicationTarget application)
    {
        if (IsOfHost && !UserNamespace.IsOursOrHidden(application.RootPid))
        {
            int user = ProcessStatus.TryRead(application.RootPid)?.Numbers("Uid")[0] ?? 0;
            throw Refused($"the application of process {application.RootPid}", "it runs in a user namespace of its user, who alone is heard there", $"run this as user {user} (setpriv --reuid {user}), or end it with kill(1) and restore it as root");
        }
    }

    /// <summary>
    /// Called first of all in a process that has entered a namespace: its capabilities are for itself and for the spaces that it makes, not for other programs that it starts
    /// (the ambient ones of the calling thread, and of threads which that starts, go). Nor is it told where it is.
    /// </summary>
    public void Confine()
    {
        if (IsOfNamespace)
        {
            Capabilities.ClearAmbient();
            Environment.SetEnvironmentVariable(Variable, null);
        }
    }

    private static BridgeException Refused(string what, string why, string remedy) => new(Capabilities.Missing, what, why, remedy);

    private static long MappedIds(string map) => (ProcFs.TryText(map) ?? string.Empty).Split('\n', StringSplitOptions.RemoveEmptyEntries)
        .Sum(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[2], CultureInfo.InvariantCulture));
}
