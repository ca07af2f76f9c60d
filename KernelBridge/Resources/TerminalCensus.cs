using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.TerminalCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>The pseudo-terminals of an application's own: who has their slaves open, and whose controlling terminals they are. Taken by a check and by a checkpoint alike.</summary>
internal sealed class TerminalCensus
{
    private readonly SortedDictionary<int, DescriptorFacts> masters = [];
    private readonly Dictionary<int, int> sessions = [];
    private readonly Dictionary<int, List<DescriptorFacts>> slaves = [];
    private readonly IReadOnlyList<ProcessInspection> inspections;
    private readonly string directory;
    private readonly ulong instance;

    private TerminalCensus(IReadOnlyList<ProcessInspection> inspections, int reference)
    {
        this.inspections = inspections;
        directory = $"/proc/{reference}/root/dev/pts";
        instance = FileIdentity.TryOf(directory)?.Device ?? 0;
    }

    public List<Refusal> Refusals { get; } = [];

    /// <summary>What a restore does not bring back.</summary>
    public IEnumerable<string> Caveats => masters.Where(master => !CanBeOpened(master.Key) || (master.Value.Ask(Settings) is { } settings && TerminalInput.Obstacle(settings, 0) is not null))
        .Select(master => $"what has been typed at /dev/pts/{master.Key} and shows nowhere (it is locked, in exclusive use, was never opened, or its input is processed elsewhere) is not kept");

    /// <summary>Whether a descriptor is a slave by its own name; it may be the starter's.</summary>
    public static bool IsSlave(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.CharacterDevice && facts.Identity.RawDevice >> 32 == 136;

    /// <summary>Looks at all terminals.</summary>
    /// <param name="inspections">All processes.</param>
    /// <param name="pids">Their host pids.</param>
    /// <param name="reference">A process in whose mount namespace they are, and that has not changed its root.</param>
    public static TerminalCensus Take(IReadOnlyList<ProcessInspection> inspections, IReadOnlySet<int> pids, int reference)
    {
        TerminalCensus census = new(inspections, reference);
        List<DescriptorFacts> descriptors = [.. inspections.SelectMany(inspection => inspection.Descriptors)];
        foreach (DescriptorFacts facts in descriptors.Where(facts => DescriptorKinds.Of(facts) is PseudoTerminals kind && kind.Check(facts) is null))
        {
            int index = PseudoTerminals.Index(facts)!.Value;
            if (!census.masters.TryAdd(index, facts) && Libc.kcmp(census.masters[index].Pid, facts.Pid, Libc.KCMP_FILE, census.masters[index].Number, facts.Number) != 0)
            {
                census.Refusals.Add(facts.Refuse("pty.instance", "it has the number of another terminal, in another instance of devpts", "close it before the checkpoint"));
            }
        }

        if (census.masters.Count > 0)
        {
            census.FindSessions();
            census.FindSlaves(descriptors);
            census.FindBytes();
            census.FindOutsiders(pids);
        }

        return census;
    }

    /// <summary>The number of the application's own terminal of which a descriptor is a slave; null for anything else.</summary>
    public int? Of(DescriptorFacts facts)
    {
        if (IsSlave(facts))
        {
            int index = (int)(facts.Identity.RawDevice & 0xffffffff);
            return facts.Identity.Device == instance && !facts.Deleted && masters.ContainsKey(index) ? index : null;
        }

        return IsByControl(facts) && Controlled(facts) is { } terminal && sessions.TryGetValue(terminal, out int session) && SessionOf(facts) == session ? terminal : null;
    }

    /// <summary>What of them a restore needs; the application stands.</summary>
    /// <param name="outputs">What has been written and not read, by number.</param>
    /// <param name="inputs">What has been typed and not read.</param>
    public IReadOnlyList<PseudoTerminalImage> Capture(IReadOnlyDictionary<int, byte[]> outputs, IReadOnlyDictionary<int, TypedInput> inputs) =>
        [.. masters.Select(master => master.Value.Ask(fd => Capture(master.Key, fd)) with { Output = outputs.GetValueOrDefault(master.Key, []), Input = inputs.GetValueOrDefault(master.Key, TypedInput.None) })];

    private static bool IsByControl(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.CharacterDevice && facts.Identity.RawDevice == 5ul << 32;

    /// <summary>The number of the pseudo-terminal that was opened as /dev/tty.</summary>
    private static int? Controlled(DescriptorFacts facts) => facts.Ask(fd => Number(fd, TIOCGDEV)) is { } device && (device >> 8 & 0xfff) == 136 ? (device & 0xff) | (device >> 12 & 0xfff00) : null;

    private PseudoTerminalImage Capture(int index, int fd)
    {
        int session = sessions.GetValueOrDefault(index);
        _ = TryAsk(fd, TIOCGWINSZ, out ulong window);
        string slave = $"{directory}/{index}";
        (uint owner, uint group) = FileIdentity.OwnerOf(slave);
        return new PseudoTerminalImage
        {
            Index = index,
            Settings = Settings(fd) ?? throw new BridgeException("pty.unreadable", $"reading the settings of /dev/pts/{index}", Errno.Text(Libc.LastError)),
            Window = window,
            Packets = Number(fd, TIOCGPKT) > 0,
            Locked = Number(fd, TIOCGPTLCK) > 0,
            Exclusive = slaves.TryGetValue(index, out List<DescriptorFacts>? open) && open[0].Ask(copy => Number(copy, TIOCGEXCL)) > 0,
            SlaveClosed = (Poll(fd, POLLIN) & POLLHUP) != 0,
            Owner = owner,
            Group = group,
            Mode = FileIdentity.TryOf(slave) is { } identity ? identity.Mode & 0xfff : 0x190,
            Session = session == 0 ? 0 : inspections.First(inspection => inspection.View.Pid == session).View.InnerPid,
            Foreground = session == 0 ? 0 : Foreground(fd)?.View.Group ?? 0,
            Without = session == 0 ? [] : [.. InSession(session).Where(inspection => !inspection.IsZombie && inspection.View.Stat.Signed(7) == 0).Select(inspection => inspection.View.InnerPid)],
        };
    }

    private void FindSessions()
    {
        foreach ((int index, DescriptorFacts master) in masters)
        {
            if (master.Ask(fd => Number(fd, TIOCGSID)) is not (> 0 and var session))
            {
                continue;
            }

            if (!inspections.Any(inspection => inspection.View.Pid == session))
            {
                Refusals.Add(master.Refuse("pty.outside", $"it controls session {session}, whose leader is not part of the application", "run both in one application"));
                continue;
            }

            sessions[index] = session;
            if (master.Ask(fd => Number(fd, TIOCGPGRP) is > 0 && Foreground(fd) is null))
            {
                Refusals.Add(master.Refuse("pty.foreground", "the process group in its foreground has just ended", "try again"));
            }
        }
    }

    private void FindSlaves(List<DescriptorFacts> descriptors)
    {
        foreach (DescriptorFacts facts in descriptors.Where(facts => IsSlave(facts) || IsByControl(facts)))
        {
            if (Of(facts) is { } index)
            {
                (slaves.TryGetValue(index, out List<DescriptorFacts>? known) ? known : slaves[index] = []).Add(facts);
            }
            else if (IsByControl(facts) && Controlled(facts) is { } other && masters.ContainsKey(other))
            {
                Refusals.Add(facts.Refuse("pty.control", "it was opened as /dev/tty in a session that this terminal does not control now", "close it before the checkpoint"));
            }
        }
    }

    /// <summary>Output is copied (<see cref="TerminalOutput"/>) as far as it fits, input (<see cref="TerminalInput"/>) where it can be put back as it is.</summary>
    private void FindBytes()
    {
        foreach ((int index, DescriptorFacts master) in masters)
        {
            short events = master.Ask(fd => Poll(fd, POLLIN | POLLPRI));
            if ((events & POLLIN) != 0 && master.Ask(fd => Number(fd, FIONREAD)) is > 0 and var count && (count > TerminalOutput.Maximum || !CanBeOpened(index)))
            {
                Refusals.Add(master.Refuse("pty.unread", $"output of /dev/pts/{index} waits in it ({count} bytes or more)", "let it be read, and try again"));
            }
            else if ((events & POLLPRI) != 0)
            {
                Refusals.Add(master.Refuse("pty.unread", $"a change of state of /dev/pts/{index} waits in it (packet mode)", "let it be read, and try again"));
            }

            if (!slaves.TryGetValue(index, out List<DescriptorFacts>? open))
            {
                continue;
            }

            if (PseudoTerminals.HasOtherDiscipline(open[0]))
            {
                Refusals.Add(PseudoTerminals.OtherDiscipline(open[0]));
                continue;
            }

            short slave = open[0].Ask(fd => Poll(fd, POLLIN | POLLOUT));
            int typed = open[0].Ask(fd => Number(fd, FIONREAD)) ?? 0;
            if (((slave & POLLIN) != 0 || typed > 0) && ObstacleOf(index, master, open, typed) is { } obstacle)
            {
                Refusals.Add(open[0].Refuse("pty.unread", $"input waits in it, {obstacle}", "let it be read, and try again"));
            }

            if ((slave & (POLLOUT | POLLHUP)) == 0)
            {
                Refusals.Add(open[0].Refuse("pty.stopped", "its output is stopped (tcflow(3), or the STOP character)", "start it again before the checkpoint"));
            }
        }
    }

    /// <summary>Why input that shows cannot be copied; null when it can.</summary>
    private string? ObstacleOf(int index, DescriptorFacts master, List<DescriptorFacts> open, int count) =>
        !CanBeOpened(index) ? "which is locked or in exclusive use"
        : open.Exists(facts => facts.Signals is { Async: true }) ? "and is reported by signals (O_ASYNC)"
        : inspections.SelectMany(inspection => inspection.Descriptors).Where(facts => DescriptorKinds.Of(facts) is PseudoTerminals && PseudoTerminals.Index(facts) == index).All(facts => IsInBackground(facts, index))
            ? "and who has the other end is in its background"
        : master.Ask(Settings) is { } settings ? TerminalInput.Obstacle(settings, count) : "and its settings cannot be read";

    /// <summary>Whether a process may not read from the terminal whose master it has, since that controls it and another group is in the foreground.</summary>
    private bool IsInBackground(DescriptorFacts master, int index) =>
        sessions.TryGetValue(index, out int session) && SessionOf(master) == session
        && inspections.First(inspection => inspection.View.Pid == master.Pid).View.Stat.ProcessGroup != master.Ask(fd => Number(fd, TIOCGPGRP));

    /// <summary>Whether opening and closing the slave of one of its terminals leaves everything as it is.</summary>
    public bool CanBeOpened(int index) =>
        masters.TryGetValue(index, out DescriptorFacts? master) && master.Ask(fd => Number(fd, TIOCGPTLCK)) == 0
        && (slaves.TryGetValue(index, out List<DescriptorFacts>? open) ? open[0].Ask(fd => Number(fd, TIOCGEXCL)) == 0 : (master.Ask(fd => Poll(fd, POLLIN)) & POLLHUP) != 0);

    private void FindOutsiders(IReadOnlySet<int> pids)
    {
        foreach (int pid in ProcFs.Numbers("/proc").Where(pid => !pids.Contains(pid)))
        {
            foreach (int number in ProcFs.Numbers($"/proc/{pid}/fd"))
            {
                string path = $"/proc/{pid}/fd/{number}";
                if (ProcFs.TryLink(path) is not { } link || !(link.StartsWith("/dev/pts/", StringComparison.Ordinal) || link == "/dev/ptmx") || FileIdentity.TryOf(path) is not { } identity)
                {
                    continue;
                }

                DescriptorFacts? held = identity.RawDevice >> 32 == 136
                    ? identity.Device == instance && !link.EndsWith(" (deleted)", StringComparison.Ordinal) ? masters.GetValueOrDefault((int)(identity.RawDevice & 0xffffffff)) : null
                    : masters.Values.FirstOrDefault(master => Libc.kcmp(master.Pid, pid, Libc.KCMP_FILE, master.Number, number) == 0);
                if (held is not null)
                {
                    Refusals.Add(held.Refuse(
                        "pty.outside", $"process {pid} ({ProcessStat.TryRead(pid)?.Name}), which is not part of the application, has {link} open too", "close it, or run both in one application"));
                }
            }
        }
    }

    private int SessionOf(DescriptorFacts facts) => (int)inspections.First(inspection => inspection.View.Pid == facts.Pid).View.Stat.Signed(6);

    private IEnumerable<ProcessInspection> InSession(int session) => inspections.Where(inspection => inspection.View.Stat.Signed(6) == session);

    /// <summary>A member of the process group in the foreground.</summary>
    private ProcessInspection? Foreground(int fd) =>
        Number(fd, TIOCGPGRP) is { } group ? inspections.FirstOrDefault(inspection => inspection.View.Stat.ProcessGroup == group) : null;
}
