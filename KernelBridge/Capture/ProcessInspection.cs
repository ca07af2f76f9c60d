using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Everything of one process that decides whether it can be captured. A check and a checkpoint ask the same questions here, so that they cannot disagree;
/// the check while it runs, the checkpoint when it stands.
/// </summary>
internal sealed class ProcessInspection
{
    /// <summary>Resident memory in KiB from which smaps takes noticeably long.</summary>
    private const long MuchMemory = 32 << 10;

    /// <summary>Areas from which smaps takes longer than a copy of a small process: each thread has two.</summary>
    private const int ManyAreas = 256;

    // Of before its areas were looked at.
    private MemoryState? state;

    private ProcessInspection(ProcessView view, NamespaceLinks namespaces)
    {
        View = view;
        Namespaces = namespaces;
    }

    public ProcessView View { get; }

    /// <summary>Its namespaces.</summary>
    public NamespaceLinks Namespaces { get; }

    /// <summary>It ended and waits for its parent. (A process whose first thread alone has ended looks the same, but has other threads.)</summary>
    public bool IsZombie => View.Stat.State is 'Z' or 'X' && View.Status.Number("Threads") <= 1;

    /// <summary>Its pid namespace, as the link in /proc/PID/ns names it; null where that cannot be seen.</summary>
    public string? PidNamespace => Namespaces["pid"];

    /// <summary>The pid namespace in which its children will be; null where nobody has been in it yet, pid_namespaces(7).</summary>
    public string? ChildPidNamespace => Namespaces.ForChildrenPid;

    /// <summary>Its mount namespace, where that is another one than the application's.</summary>
    public string? MountNamespace { get; private set; }

    public List<DescriptorFacts> Descriptors { get; private set; } = [];

    public List<Area> Areas { get; private set; } = [];

    /// <summary>All areas of its memory, those of the kernel included.</summary>
    public IReadOnlyList<MemoryMap> Maps { get; private set; } = [];

    /// <summary>smaps takes noticeably long.</summary>
    public bool HasMuchMemory => View.Status.Kibibytes("VmRSS") > MuchMemory;

    /// <summary>Its memory is more than is held while it stands, so that as a rule there will be a copy to compare flags with.</summary>
    private bool IsCopied => View.Status.Kibibytes("RssAnon") << 10 > PtraceBridge.DefaultHold;

    /// <summary>The flags of areas are those of an earlier look.</summary>
    public bool FlagsAreAssumed { get; private set; }

    /// <summary>Its areas, for a later look.</summary>
    public SeenAreas SeenAreas => new(Maps, FlagsAreAssumed ? null : state);

    /// <summary>Threads with their status, the leader first.</summary>
    public List<(int Tid, ProcessStatus Status)> Threads { get; private set; } = [];

    /// <summary>What the kernel knows of the first thread; null where it does not tell.</summary>
    public TaskRecord? Record { get; private set; }

    /// <summary>What the kernel knows of the threads; null where it does not tell.</summary>
    public IReadOnlyDictionary<int, TaskRecord>? Records { get; private set; }

    public List<Refusal> Refusals { get; } = [];

    /// <summary>Looks at a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <param name="reference">A process whose namespaces it must share: the space's init or the tree's root.</param>
    /// <param name="before">
    /// Its areas when they were looked at before. Where the kernel counts what is done to them, they are the same unless it has counted something. Else, since to ask for their flags takes as
    /// long as to fork it, where it will be copied or has many areas, or is one of many, those of areas that have not changed are taken from there, and have to be compared later.
    /// </param>
    /// <param name="standing">What it has in common with the others, where all of them stand.</param>
    /// <param name="flags">What is known of flags of areas; where that is enough, they are neither asked for nor assumed.</param>
    /// <exception cref="BridgeException">It is gone.</exception>
    public static ProcessInspection Of(
        int pid, PidReference reference, SeenAreas? before = null, StandingFacts? standing = null, AreaFlags? flags = null)
    {
        // A process that ends, or executes another program, between two of the questions seems to have what it has not: a refusal counts when it is said again.
        ProcessInspection inspection = Look(pid, reference, before, standing, flags);
        for (int again = 0; again < 3 && inspection.Refusals.Count > 0; again++)
        {
            // On its way out it has for a while what nobody may look at any more. (Where others go on without the first thread, that is refused by name.)
            if (inspection.Threads.Count <= 1 && ProcessStat.Read(pid).IsEnding)
            {
                inspection.Refusals.Clear();
                break;
            }

            List<Refusal> refusals = inspection.Refusals;
            inspection = Look(pid, reference, null, null, flags);
            if (refusals.SequenceEqual(inspection.Refusals) && ProcessStat.Read(pid) is { State: not ('Z' or 'X') } now && now.StartTime == inspection.View.Stat.StartTime)
            {
                break;
            }
        }

        return inspection;
    }

    private static ProcessInspection Look(int pid, PidReference reference, SeenAreas? before, StandingFacts? standing, AreaFlags? flags)
    {
        ProcessView view = ProcessView.Read(pid, reference);
        ProcessInspection inspection = new(view, standing?.NamespacesOf(pid) ?? NamespaceLinks.Read(pid));
        if (inspection.IsZombie)
        {
            return inspection;
        }

        ThreadLook threads = new(inspection.View, inspection.Namespaces);
        inspection.Descriptors = standing?.DescriptorsOf(pid, inspection.View.InnerPid) ?? DescriptorFacts.ReadAll(pid, inspection.View.InnerPid);
        inspection.LookAtMaps(before, standing, flags);
        threads.Finish();
        (inspection.Threads, inspection.Records) = (threads.Found, threads.Records);
        inspection.Refusals.AddRange(threads.Refusals);
        inspection.Refusals.AddRange(inspection.Descriptors.Select(facts => DescriptorKinds.Check(facts) is { } refusal && facts.IsStillSo() ? refusal : null).OfType<Refusal>());
        inspection.LookAtNamespaces(reference.Pid, standing);
        (inspection.Areas, List<Refusal> refused) = AddressSpaces.Recognise(
            inspection.View, inspection.Maps, standing is null ? null : map => standing.Backing(pid, inspection.MountNamespace, map));
        inspection.Refusals.AddRange(refused);
        inspection.Refusals.AddRange(ProcessResources.All.SelectMany(resource => resource.Check(inspection.View)));
        inspection.LookAtKinship(reference.Pid);
        return inspection;
    }

    private void LookAtMaps(SeenAreas? before, StandingFacts? standing, AreaFlags? flags)
    {
        Record = Told(standing);
        state = Record?.MemoryState;
        if (state is not null && before?.State == state && before.Maps.All(map => standing?.IsNamedSo(View.Pid, Namespaces["mnt"], map) == true))
        {
            Maps = before.Maps;
            return;
        }

        if (flags?.TryRead(View.Pid) is { } exact)
        {
            Maps = exact;
            return;
        }

        // Locked memory is not locked in a copy, with which flags are compared later.
        if (before is not null && (standing?.AreMany == true || IsCopied || before.Maps.Count > ManyAreas) && View.Status.Kibibytes("VmLck") == 0 && !before.Maps.Any(map => map.HasFlag("lo "))
            && MemoryMap.TryReadWithKnownFlags(View.Pid, before.Maps) is { } maps)
        {
            Maps = maps;
            FlagsAreAssumed = true;
            return;
        }

        Maps = MemoryMap.ReadWithFlags(View.Pid, HasMuchMemory);
        if (standing is not null)
        {
            flags?.Learn(View.Pid, Maps);
        }
        else if (state is not null)
        {
            flags?.Learn(View.Pid, Maps, () => Told(standing)?.MemoryState == state);
        }
    }

    private TaskRecord? Told(StandingFacts? standing) => ProcSnapshot.Current is null ? standing?.Tasks?.Of(View.Pid) ?? TaskIterator.IfReady?.First(View.Pid) : null;

    private void LookAtKinship(int reference)
    {
        // A child made by clone(2) may end with another signal than SIGCHLD, or none; who was adopted has SIGCHLD again.
        if (View.Pid != reference && View.Stat.ParentPid != reference && View.Stat.ExitSignal != Libc.SIGCHLD)
        {
            Refusals.Add(View.Refuse("process.exit-signal", "process", $"its parent gets signal {View.Stat.ExitSignal} at its end, not SIGCHLD", "let it end before the checkpoint"));
        }
    }

    private void LookAtNamespaces(int reference, StandingFacts? standing)
    {
        // How pid and mount namespaces lie in each other shows across processes only (PidNamespaces, MountNamespaces).
        foreach (string kind in NamespaceLinks.Kinds.Where(kind => kind != "pid" || View.Depth == 0))
        {
            string? own = Namespaces[kind];
            string? expected = standing is null ? ProcFs.TryLink($"/proc/{reference}/ns/{kind}") : standing.Namespace(kind);
            if (kind == "mnt")
            {
                MountNamespace = own == expected ? null : own;
            }
            else if (own is not null && expected is not null && own != expected)
            {
                Refusals.Add(View.Refuse("process.namespace", $"{kind} namespace", "it is in another namespace than the rest of the application", "start it without one"));
            }
        }

        if (Namespaces["time"] is { } time && Namespaces.ForChildrenTime is { } later && time != later)
        {
            Refusals.Add(View.Refuse("process.namespace", "time namespace", "its children will be in another namespace", "start it without one"));
        }
    }
}

/// <summary>Areas of a process as they were seen.</summary>
/// <param name="Maps">The areas, with flags.</param>
/// <param name="State">What has not changed if they have not; null where that is not known, or the flags are not those of that moment.</param>
internal sealed record SeenAreas(IReadOnlyList<MemoryMap> Maps, MemoryState? State = null);
