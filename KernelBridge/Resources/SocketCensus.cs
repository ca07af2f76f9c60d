using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>All sockets of an application and who is at their other ends. Taken by a check and by a checkpoint alike.</summary>
internal sealed class SocketCensus
{
    private readonly Dictionary<ulong, SocketFacts> sockets = [];
    private readonly IReadOnlySet<int> pids;

    private SocketCensus(IReadOnlySet<int> pids)
    {
        this.pids = pids;
    }

    /// <summary>The application's sockets by inode.</summary>
    public IReadOnlyDictionary<ulong, SocketFacts> Known => sockets;

    public List<Refusal> Refusals { get; } = [];

    /// <summary>The application has a network namespace of its own.</summary>
    public bool OwnsNetwork { get; private init; }

    /// <summary>What a restore does not bring back.</summary>
    public List<string> Caveats { get; } = [];

    /// <summary>Sockets whose other end is outside and that came in as a standard stream: by inode, which.</summary>
    public Dictionary<ulong, int> StandardStreams { get; } = [];

    /// <summary>Looks at all sockets.</summary>
    /// <param name="descriptors">The application's descriptors of sockets.</param>
    /// <param name="pids">Its host pids.</param>
    /// <param name="reference">A process in whose network namespace they are.</param>
    public static SocketCensus Take(IReadOnlyList<DescriptorFacts> descriptors, IReadOnlySet<int> pids, int reference)
    {
        // While it runs, and for a moment after it was stopped, bytes are on their way: a refusal counts when it is said again.
        SocketCensus census = Look(descriptors, pids, reference);
        for (int again = 0; again < 5 && census.Refusals.Count > 0; again++)
        {
            Thread.Sleep(4);
            List<Refusal> before = census.Refusals;
            census = Look(descriptors, pids, reference);
            census.Refusals.RemoveAll(refusal => refusal.Code == "socket.unsent" && !before.Contains(refusal));
        }

        return census;
    }

    /// <summary>The image of a socket, with what the census knows.</summary>
    public SocketImage Complete(SocketImage image) => sockets.TryGetValue((ulong)image.Id, out SocketFacts? facts)
        ? image with
        {
            State = facts.State,
            Peer = (long)facts.Peer,
            Backlog = facts.Backlog,
            Shutdown = facts.Shutdown,
            Error = facts.Error,
            File = facts.File,
            Queue = facts.State == SocketState.Reset ? [] : image.Queue,
        }
        : image;

    /// <summary>Refuses a connection with someone outside, unless it is a standard stream, for which a restore attaches its own.</summary>
    public void Outside(SocketFacts socket, ulong peer)
    {
        if (socket.Descriptor.Number <= 2)
        {
            StandardStreams[socket.Inode] = socket.Descriptor.Number;
            return;
        }

        string who = Holder(peer) is { } pid ? $"process {pid} ({ProcessStat.TryRead(pid)?.Name}), which is not part of the application," : "someone outside of the application";
        Refusals.Add(socket.Refuse("socket.outside", $"{who} holds its other end", "close it, or run both processes in one application"));
    }

    private static SocketCensus Look(IReadOnlyList<DescriptorFacts> descriptors, IReadOnlySet<int> pids, int reference)
    {
        SocketCensus census = new(pids) { OwnsNetwork = ProcFs.TryLink($"/proc/{reference}/ns/net") != ProcFs.TryLink("/proc/self/ns/net") };
        foreach (DescriptorFacts descriptor in descriptors.OrderBy(facts => facts.Number))
        {
            if (!census.sockets.ContainsKey(descriptor.Identity.Inode) && SocketFacts.TryRead(descriptor) is { } facts)
            {
                census.sockets.Add(descriptor.Identity.Inode, facts);
            }
        }

        if (census.sockets.Count > 0)
        {
            using SocketDiagnosis? diagnosis = SocketDiagnosis.TryOpen(reference);
            UnixSockets.Look(census, diagnosis);
            TcpSockets.Look(census, diagnosis);
            UdpSockets.Look(census);
        }

        return census;
    }

    private int? Holder(ulong inode)
    {
        string wanted = $"socket:[{inode}]";
        foreach (int pid in inode == 0 ? [] : ProcFs.Numbers("/proc").Where(pid => !pids.Contains(pid)))
        {
            if (ProcFs.Numbers($"/proc/{pid}/fd").Any(number => ProcFs.TryLink($"/proc/{pid}/fd/{number}") == wanted))
            {
                return pid;
            }
        }

        return null;
    }
}

/// <summary>One socket of an application.</summary>
internal sealed class SocketFacts
{
    public required DescriptorFacts Descriptor { get; init; }

    public required int Family { get; init; }

    public required int Type { get; init; }

    public required int Protocol { get; init; }

    public required byte[] Local { get; init; }

    public required byte[] Remote { get; init; }

    /// <summary>Of POLLERR, POLLHUP and POLLRDHUP.</summary>
    public required short Events { get; init; }

    public required bool Listens { get; init; }

    /// <summary>Bytes that the other end has not yet taken.</summary>
    public required int Unsent { get; init; }

    /// <summary>For TCP.</summary>
    public required TcpCounts Tcp { get; init; }

    public ulong Inode => Descriptor.Identity.Inode;

    public SocketState State { get; set; }

    public ulong Peer { get; set; }

    public int Backlog { get; set; }

    public int Shutdown { get; set; }

    public bool Error { get; set; }

    public SocketFileImage? File { get; set; }

    /// <summary>Another socket of the application that has sent bytes to this one which are still there, since this one has no room.</summary>
    public SocketFacts? Sender { get; set; }

    public string What => SocketImage.Describe(Family, Type, Protocol, Local, Remote);

    public static SocketFacts? TryRead(DescriptorFacts descriptor)
    {
        using SocketCopy? socket = SocketCopy.TryTake(descriptor.Pid, descriptor.Number);
        if (socket is null)
        {
            return null;
        }

        int protocol = socket.Number(SOL_SOCKET, SO_PROTOCOL);
        int type = socket.Number(SOL_SOCKET, SO_TYPE);
        return new SocketFacts
        {
            Descriptor = descriptor, Family = socket.Number(SOL_SOCKET, SO_DOMAIN), Type = type, Protocol = protocol, Local = socket.Name(), Remote = socket.PeerName(),
            Events = socket.Poll(POLLRDHUP), Listens = socket.Number(SOL_SOCKET, SO_ACCEPTCONN) != 0, Unsent = socket.Ask(SIOCOUTQ),
            Tcp = type == SOCK_STREAM && protocol == IPPROTO_TCP ? TcpCounts.Read(socket) : default,
        };
    }

    public Refusal Refuse(string code, string why, string remedy) => new(code, Descriptor.InnerPid, Descriptor.ReportedNumber, What, why, remedy);
}
