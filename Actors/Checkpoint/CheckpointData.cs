using System.Collections.Immutable;
using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>What a coordinator knows of one process.</summary>
internal sealed record ProcessEntry(int Pid, IActorRef Supervisor)
{
    /// <summary>Null until it stands; 0 for a zombie.</summary>
    public int? Threads { get; init; }

    /// <summary>What was refused while it ran; decided only when it is seen again. Null before the second look.</summary>
    public ImmutableList<Refusal>? Suspected { get; init; }

    public ProcessFacts? Facts { get; init; }

    public ProcessImage? Image { get; init; }
}

/// <summary>The state data of <see cref="CheckpointCoordinator"/>; immutable, so that a phase cannot half-change it.</summary>
internal sealed record CheckpointData
{
    public static CheckpointData Initial { get; } = new() { Waiting = [0] };

    public ImmutableSortedDictionary<int, ProcessEntry> Processes { get; init; } = ImmutableSortedDictionary<int, ProcessEntry>.Empty;

    /// <summary>The processes whose answer is still awaited; 0 stands for the application as a whole.</summary>
    public ImmutableHashSet<int> Waiting { get; init; } = [];

    /// <summary>Which attempt to stop everything this is, from 1.</summary>
    public int Attempt { get; init; }

    /// <summary>Everything is being let go, to be stopped again.</summary>
    public bool Retreating { get; init; }

    /// <summary>What the processes are asked in turns.</summary>
    public object? Question { get; init; }

    /// <summary>Processes that are asked it as soon as another one has answered.</summary>
    public ImmutableQueue<int> ToAsk { get; init; } = [];

    public ImmutableList<Refusal> Refusals { get; init; } = [];

    /// <summary>The thread that holds the application as a whole is gone.</summary>
    public bool ApplicationLetGo { get; init; }

    /// <summary>The writer is being closed: the last thing before the answer.</summary>
    public bool Closing { get; init; }

    public bool WriterPending { get; init; } = true;

    /// <summary>Volumes are being copied.</summary>
    public bool VolumesPending { get; init; }

    public bool CommitPending { get; init; }

    /// <summary>Hooks are running.</summary>
    public bool HooksPending { get; init; }

    /// <summary>What runs before the freeze was begun, and what follows it was not.</summary>
    public bool AfterResumeIsDue { get; init; }

    /// <summary>Where the processes of an intercepted application come together; null for another one.</summary>
    public IRendezvous? Rendezvous { get; init; }

    /// <summary>It is being opened, or they are being called together or let go.</summary>
    public bool RendezvousPending { get; init; } = true;

    /// <summary>They were called together, and not let go.</summary>
    public bool LetGoIsDue { get; init; }

    /// <summary>Who came.</summary>
    public RendezvousReport? Gathered { get; init; }

    /// <summary>What went wrong without harm to the snapshot.</summary>
    public string? Warning { get; init; }

    /// <summary>TCP sockets that are held for a restore.</summary>
    public int ConnectionsKept { get; init; }

    public ISnapshotWriter? Writer { get; init; }

    public ApplicationImage? Image { get; init; }

    public PageCounts Pages { get; init; }

    public TimeSpan FreezeTime { get; init; }

    public SnapshotReceipt? Receipt { get; init; }

    public OperationFailure? Failure { get; init; }

    public int Threads => Processes.Values.Sum(p => p.Threads ?? 0);

    public CheckpointData With(int pid, Func<ProcessEntry, ProcessEntry> change) =>
        this with { Processes = Processes.SetItem(pid, change(Processes[pid])) };

    /// <summary>With a warning more, unless it is null.</summary>
    public CheckpointData Warned(string? warning) =>
        warning is null ? this : this with { Warning = Warning is null ? warning : $"{Warning}; {warning}" };

    public CheckpointData Answered(int pid) => this with { Waiting = Waiting.Remove(pid) };

    public CheckpointData AwaitAll() => this with { Waiting = [.. Processes.Keys] };

    public CheckpointData Await(int pid) => this with { Waiting = Waiting.Add(pid) };
}
