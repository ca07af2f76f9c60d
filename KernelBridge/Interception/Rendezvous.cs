using System.Diagnostics;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Interception;

/// <summary>The barrier of the checkpoint threads, over a socket of this process.</summary>
/// <param name="target">The application.</param>
/// <param name="board">What its processes see.</param>
/// <param name="meeting">Makes the place where those who are ready wait for each other, for so long at most; null where nobody but this process tells them.</param>
internal sealed unsafe class Rendezvous(ApplicationTarget target, InterceptBoard board, Func<IReadOnlyList<int>, TimeSpan, IMeetingPoint?>? meeting = null) : IRendezvous
{
    // More than that are no processes of an application, but one that connects over and over.
    private const int MostPeers = 4096;

    // So many are let in before others are listened to: somebody may call without an end.
    private const int MostAtOnce = 64;

    // Of the time that there is, what a process has; the rest is for its answer.
    private const double ShareOfProcess = 0.8;

    private static readonly TimeSpan look = TimeSpan.FromMilliseconds(50);

    // Who crashes lets go while somebody else still gathers.
    private readonly Lock gate = new();
    private readonly List<InterceptPeer> peers = [];
    private readonly Stopwatch clock = new();
    private Dictionary<int, InterceptedProcess> expected = [];
    private string? space;
    private bool begun;

    /// <inheritdoc/>
    public RendezvousReport Gather(RendezvousOrder order, CancellationToken cancellation)
    {
        lock (gate)
        {
            return GatherAlone(order, cancellation);
        }
    }

    /// <inheritdoc/>
    public void Release()
    {
        if (begun)
        {
            begun = false;
            board.Publish(BoardOperation.Resume);
        }
    }

    /// <inheritdoc/>
    public void Abandon() => begun = false;

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            peers.ForEach(peer => peer.Dispose());
            peers.Clear();
            try
            {
                Release();
            }
            catch (BridgeException)
            {
                // The application has cut its board off: its processes go on when their time is over.
            }

            board.Dispose();
        }
    }

    /// <summary>How many have waited for each other in the kernel.</summary>
    public int MetInKernel { get; private set; }

    private IEnumerable<int> Ready => peers.Where(peer => peer.State == PeerState.Ready).Select(peer => peer.Pid);

    private RendezvousReport GatherAlone(RendezvousOrder order, CancellationToken cancellation)
    {
        clock.Restart();
        List<InterceptedProcess> all = InterceptedProcesses.Of(target, board.Filters);
        expected = all.Where(process => process is { Intercepted: true, Stopped: false }).ToDictionary(process => process.Pid);
        space = ProcFs.TryLink($"/proc/{target.RootPid}/ns/pid");
        using InterceptListener listener = InterceptListener.In(target.RootPid);
        begun = true;
        List<int> leftOut = [.. all.Where(process => process.Filtered).Select(process => process.InnerPid)];
        if (leftOut.Count > InterceptAbi.MostLeftOut)
        {
            throw new BridgeException("intercept.filters", "calling the application together", $"more than {InterceptAbi.MostLeftOut} of its processes have seccomp filters of their own", "run it without --intercept");
        }

        board.Publish(BoardOperation.Gather, listener.Nonce, leftOut);
        TimeSpan looked = clock.Elapsed;
        while (expected.Keys.Except(Ready).Any() || peers.Exists(peer => peer.State is PeerState.Silent or PeerState.Preparing))
        {
            cancellation.ThrowIfCancellationRequested();
            if (clock.Elapsed >= order.Deadline)
            {
                break;
            }

            Wait(listener.Descriptor, look);
            Accept(listener, order.Deadline);
            if (clock.Elapsed - looked >= look)
            {
                ForgetTheGone();
                looked = clock.Elapsed;
            }
        }

        List<Refusal> late = [.. expected.Values.Where(process => !Ready.Contains(process.Pid)).Select(Late)];
        if (late.Count > 0 && !order.WithoutTheLate)
        {
            throw new BridgeException(late);
        }

        int ready = Ready.Distinct().Count();
        End(order.Hold, order.Deadline);
        // Whoever begins from here on, before all is frozen, has nobody to call.
        board.Publish(BoardOperation.Quiet);
        return new RendezvousReport(
            ready, [.. all.Where(process => !process.Intercepted).Select(process => process.Program)], [.. late.Select(refusal => refusal.ToString())],
            peers.Count(peer => peer is { State: PeerState.Ready, Unflushed: true }), clock.Elapsed);
    }

    private void Accept(InterceptListener listener, TimeSpan deadline)
    {
        for (int i = 0; i < MostAtOnce && listener.TryAccept() is { } caller; i++)
        {
            InterceptPeer peer = new(caller.Descriptor, caller.Pid);
            // The name can be found in /proc/net/unix by anybody on this host; one conversation for each process of the application.
            if (peers.Count >= MostPeers || caller.Pid <= 0 || !IsOfApplication(caller.Pid)
                || peers.Exists(other => other.Pid == caller.Pid && other.State != PeerState.Gone))
            {
                peer.Dispose();
                continue;
            }

            peers.Add(peer);
        }

        foreach (InterceptPeer peer in peers)
        {
            peer.Receive((deadline - clock.Elapsed) * ShareOfProcess);
            if (peer.State == PeerState.Refused)
            {
                throw new BridgeException([new Refusal("intercept.busy", InnerPid(peer.Pid), null, Name(peer.Pid), $"it must not be captured now: {peer.Text}", "try again later")]);
            }
        }

        foreach (InterceptPeer peer in peers.Where(peer => peer.State == PeerState.Gone))
        {
            peer.Dispose();
        }

        peers.RemoveAll(peer => peer.State == PeerState.Gone);
    }

    /// <summary>A process of its space, or of a pid namespace inside that.</summary>
    private bool IsOfApplication(int pid) => ProcFs.TryLink($"/proc/{pid}/ns/pid") is { } own && (own == space || ApplicationProcesses.Find(target).Contains(pid));

    /// <summary>Ended, stopped, or without the thread by now, as after executing a static program: it is captured as the others without one are.</summary>
    private void ForgetTheGone()
    {
        foreach (int pid in (int[])[.. expected.Keys.Except(Ready)])
        {
            if (ProcessStat.TryRead(pid) is not { State: not ('Z' or 'X' or 'T') } || !InterceptedProcesses.HasThread(pid))
            {
                expected.Remove(pid);
            }
        }
    }

    private Refusal Late(InterceptedProcess process)
    {
        string text = peers.Find(peer => peer.Pid == process.Pid)?.Text ?? "";
        return new Refusal(
            "intercept.late", process.InnerPid, null, process.Program, text.Length > 0 ? $"it was not ready in time: it waits for {text}" : "it did not answer in time",
            "give it more with holdfast.checkpoint.deadlines.rendezvous, or set holdfast.intercept.late = go-on");
    }

    /// <summary>Tells everybody to hold, and waits until nothing of the conversations is left in the processes: it could not be captured.</summary>
    private void End(TimeSpan hold, TimeSpan deadline)
    {
        // They do nothing but end a thread; the deadline has a fifth left for it when all were in time.
        TimeSpan last = clock.Elapsed + TimeSpan.FromSeconds(2);
        last = last > deadline ? last : deadline;
        using IMeetingPoint? place = meeting?.Invoke([.. Ready.Distinct()], last - clock.Elapsed);
        foreach (InterceptPeer peer in peers)
        {
            if (peer.State == PeerState.Ready)
            {
                peer.Hold(hold, place?.Descriptor ?? -1);
            }

            peer.HangUp();
        }

        if (place is not null)
        {
            Meet(place, last);
        }

        while (peers.Find(peer => !peer.HasHungUp()) is { } open)
        {
            if (clock.Elapsed >= last)
            {
                throw new BridgeException([new Refusal("intercept.late", InnerPid(open.Pid), null, Name(open.Pid), "it does not end the conversation", "try again")]);
            }

            Wait(open.Descriptor, look);
        }
    }

    /// <summary>Waits until all have come but those who are gone, and lets those who came go on.</summary>
    private void Meet(IMeetingPoint place, TimeSpan last)
    {
        List<InterceptPeer> missing = [.. peers.Where(peer => peer.State == PeerState.Ready)];
        while (missing.Count > 0 && clock.Elapsed < last)
        {
            SocketCalls.PollEntry news = new() { Fd = place.News, Events = SocketCalls.POLLPRI };
            _ = SocketCalls.poll(&news, 1, (int)look.TotalMilliseconds);
            bool quiet = news.Found == 0;
            IReadOnlyList<int> arrived = place.Arrived();
            MetInKernel += arrived.Count;
            // Who has ended does not come; and of very many not every arrival is told.
            missing.RemoveAll(peer => arrived.Contains(peer.Pid) || (quiet && peer.HasHungUp()));
        }

        place.Open();
    }

    private void Wait(int first, TimeSpan time)
    {
        SocketCalls.PollEntry[] entries = [.. peers.Where(peer => peer.Descriptor != first).Select(peer => peer.Descriptor).Prepend(first)
            .Select(fd => new SocketCalls.PollEntry { Fd = fd, Events = SocketCalls.POLLIN })];
        fixed (SocketCalls.PollEntry* list = entries)
        {
            _ = SocketCalls.poll(list, (nuint)entries.Length, (int)time.TotalMilliseconds);
        }
    }

    private int InnerPid(int pid) => expected.TryGetValue(pid, out InterceptedProcess? process) ? process.InnerPid : ProcessStatus.TryRead(pid)?.Innermost("NSpid") ?? 0;

    private string Name(int pid) => expected.TryGetValue(pid, out InterceptedProcess? process) ? process.Program : ProcFs.TryLink($"/proc/{pid}/exe") ?? "a process";
}
