using System.Text.Json;
using System.Text.Json.Serialization;
using Holdfast.Actors.Protection;

namespace Holdfast.Runtime.Cli;

// What -o json writes: one object per line. The names are a promise to scripts; fields are only ever added.
internal sealed record ErrorJson(string Error, string Message, string? Phase, IReadOnlyList<RefusalJson>? Refusals);

internal sealed record RefusalJson(string Code, int Pid, int? Fd, string What, string Why, string Remedy);

internal sealed record CheckpointJson(
    string Name, string Snapshot, string? Parent, int Processes, int Threads, double FreezeMs, double TotalMs,
    long BytesScanned, long BytesStored, long PagesZero, long PagesShared, long PagesUnchanged)
{
    /// <summary><c>full</c>: all memory was read; <c>incremental</c>: what was not written to since <see cref="Base"/> was not.</summary>
    public required string Kind { get; init; }

    /// <summary>Of an incremental one: the snapshot of which the rest was taken over.</summary>
    public string? Base { get; init; }

    /// <summary>Bytes of memory that were read and were not zero.</summary>
    public long BytesChanged { get; init; }

    /// <summary>What was stored in rounds before the application stood.</summary>
    public PreCopyJson? PreCopy { get; init; }

    public VolumeCountsJson? Volumes { get; init; }

    public InterceptedJson? Intercepted { get; init; }

    public string? Warning { get; init; }

    /// <summary>With <c>--keep-connections</c>: TCP sockets that are held for a restore.</summary>
    public int? ConnectionsKept { get; init; }
}

/// <param name="Rounds">How many.</param>
/// <param name="BytesBefore">Bytes of memory that they stored.</param>
/// <param name="BytesPredicted">What was expected to be left for the end: compare with <c>bytesChanged</c>. Null after a single round.</param>
internal sealed record PreCopyJson(int Rounds, long BytesBefore, long? BytesPredicted);

internal sealed record InterceptedJson(int Ready, int Unflushed, double Ms, IReadOnlyList<string> Without, IReadOnlyList<string> Late);

internal sealed record VolumeCountsJson(int Count, long Files, long BytesBefore, long BytesInside, int Clones, double FreezeMs);

internal sealed record RestoreJson(string Name, string Snapshot, int Processes, int Threads, double ResumeMs, double TotalMs, long BytesRead, int Pid)
{
    /// <summary>True when it runs before its memory is loaded.</summary>
    public bool Lazy { get; init; }

    /// <summary>How far the memory of a lazy restore was loaded when it ran; null when all was in place.</summary>
    public LoadingJson? Loading { get; init; }

    /// <summary>TCP sockets that were held since the snapshot was taken, and that it goes on with.</summary>
    public int? ConnectionsKept { get; init; }

    public string? Warning { get; init; }
}

/// <summary>How far the memory of an application that runs already is loaded; <paramref name="Held"/> says why it cannot be.</summary>
internal sealed record LoadingJson(int Percent, long Bytes, long BytesTotal, long Faults, string? Held);

internal sealed record LoadedJson(string Name, string Snapshot, string State, double LoadedMs, long Bytes, long Faults);

internal sealed record RehearsalJson(string Name, string Snapshot, int Processes, int Threads, double TotalMs, long Bytes)
{
    public int Volumes { get; init; }
}

internal sealed record StartedJson(string Name, int Pid, string State);

internal sealed record EndedJson(string Name, string State, int? ExitStatus);

internal sealed record ApplicationJson(
    string Name, string State, int? Pid, bool Supervised, int? ExitStatus, DateTimeOffset Started, DateTimeOffset? Ended, int Snapshots, IReadOnlyList<string> Command)
{
    public LoadingJson? Loading { get; init; }

    public IReadOnlyList<string> Volumes { get; init; } = [];
}

internal sealed record ApplicationDetailJson(
    string Name, string State, int? Pid, bool Supervised, int? SupervisorPid, int? ExitStatus, DateTimeOffset Started, DateTimeOffset? Ended,
    IReadOnlyList<string> Command, string? RestoredFrom, double? EverySeconds, string Directory, IReadOnlyList<SnapshotJson> Snapshots)
{
    public LoadingJson? Loading { get; init; }

    /// <summary>Why Holdfast ended it, or null.</summary>
    public string? EndedBecause { get; init; }

    public IReadOnlyList<string> Volumes { get; init; } = [];

    public bool Intercepted { get; init; }
}

internal sealed record SnapshotJson(
    string Name, string Snapshot, string? Parent, DateTimeOffset Created, int? Processes, int? Threads, double? FreezeMs,
    long BytesLogical, long BytesStored, string? Damage)
{
    public double? VolumesFreezeMs { get; init; }
}

internal sealed record ProcessJson(
    int Pid, int ParentPid, string Name, int Threads, string Command, IReadOnlyList<string> ThreadNames, IReadOnlyList<string> Descriptors, IReadOnlyList<string> Maps);

internal sealed record StreamJson(string Stream, long Bytes, long Extents);

internal sealed record InspectJson(SnapshotJson Snapshot, IReadOnlyList<ProcessJson> Processes, IReadOnlyList<StreamJson> Streams)
{
    public IReadOnlyList<VolumeJson> Volumes { get; init; } = [];
}

internal sealed record VolumeJson(string Path, int Entries, long Bytes);

internal sealed record CheckJson(string Subject, string Verdict, string What, string Remedy, string Code);

internal sealed record ForgottenJson(string Name, string? Snapshot);

internal sealed record VerifyJson(bool Sound, int Snapshots, int Packs, long BytesRead, IReadOnlyList<FindingJson> Findings);

internal sealed record FindingJson(string Code, string File, long Position, string? Snapshot, string? Stream, long Offset, long Length, string Message);

internal sealed record GcJson(int PacksRemoved, int PacksTrimmed, int PacksBusy, long BytesFreed, int SnapshotsDamaged);

internal sealed record DemoJson(
    string Application, int Processes, int Threads, double CheckpointMs, double FreezeMs, long BytesStored, double RestoreMs,
    long KilledAfterLine, long ResumedAtLine, long LinesAfter);

internal sealed record PolicyAssignmentJson(string Policy, string Target, bool Assigned)
{
    public string? From { get; init; }

    public DateTimeOffset? Since { get; init; }
}

internal sealed record PolicyTriggerJson(string Name, IReadOnlyList<string> Fired, IReadOnlyList<string> Held);

internal sealed record PolicyStatusJson(
    string Name, bool CarriedOut, IReadOnlyList<PolicyAssignmentJson> Assignments, DateTimeOffset? Next, IReadOnlyList<string> NextFor,
    long PointsTaken, long SnapshotsRemoved, IReadOnlyList<PromiseCount> Promises, IReadOnlyList<PromiseBroken> Broken, IReadOnlyList<PointTaken> Points,
    IReadOnlyList<TriggerSeen> Watched, PointFailed? Failure, IReadOnlyList<string> Troubles);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ErrorJson))]
[JsonSerializable(typeof(CheckpointJson))]
[JsonSerializable(typeof(RestoreJson))]
[JsonSerializable(typeof(LoadedJson))]
[JsonSerializable(typeof(RehearsalJson))]
[JsonSerializable(typeof(StartedJson))]
[JsonSerializable(typeof(EndedJson))]
[JsonSerializable(typeof(ApplicationJson))]
[JsonSerializable(typeof(ApplicationDetailJson))]
[JsonSerializable(typeof(SnapshotJson))]
[JsonSerializable(typeof(InspectJson))]
[JsonSerializable(typeof(CheckJson))]
[JsonSerializable(typeof(ForgottenJson))]
[JsonSerializable(typeof(VerifyJson))]
[JsonSerializable(typeof(GcJson))]
[JsonSerializable(typeof(DemoJson))]
[JsonSerializable(typeof(PolicyAssignmentJson))]
[JsonSerializable(typeof(PolicyTriggerJson))]
[JsonSerializable(typeof(PolicyStatusJson))]
internal sealed partial class OutputJson : JsonSerializerContext;
