using System.Text.Json.Serialization;

namespace Holdfast.Runtime.Cli;

// What -o json writes about storage objects and devices: one object per line. The names are a promise to scripts; fields are only ever added.
internal sealed record PathSnapshotJson(
    string Name, string Snapshot, string? Parent, string Kind, string Path, long BytesLogical, long BytesRead, long BytesNew, long BytesStored, double TotalMs);

internal sealed record PathRestoreJson(string Name, string Snapshot, string Kind, string Path, long BytesLogical, double TotalMs);

internal sealed record StreamDifferenceJson(string Stream, long BytesAdded, long BytesRemoved, long BytesChanged, long BytesSame);

internal sealed record DifferenceJson(
    string? From, string To, bool StateDiffers, long BytesAdded, long BytesRemoved, long BytesChanged, IReadOnlyList<StreamDifferenceJson> Streams);

internal sealed record DifferenceFileJson(string? From, string To, string File, long Bytes);

internal sealed record AppliedJson(string Name, string Snapshot, string? Parent, long BytesLogical, long BytesStored);

internal sealed record PlanStepJson(string Name, string Snapshot, string? Base, long Bytes, string Reason);

internal sealed record PlanJson(string Name, string Device, int Snapshots, long Bytes, int AlreadyThere, int OnlyThere);

internal sealed record SentJson(string Name, string Snapshot, string? Base, long BytesSent, int Step, int Steps);

internal sealed record MigratedJson(string Name, string Device, int Snapshots, long BytesSent, int Interruptions, double TotalMs);

internal sealed record UnhealedJson(string Snapshot, string Reason);

internal sealed record RepairJson(bool Sound, IReadOnlyList<string> Healed, IReadOnlyList<UnhealedJson> Failed, int Findings, long BytesFetched);

internal sealed record KeyJson(string Key, string? File);

internal sealed record NodeJson(string Address, string Store);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(PathSnapshotJson))]
[JsonSerializable(typeof(PathRestoreJson))]
[JsonSerializable(typeof(DifferenceJson))]
[JsonSerializable(typeof(DifferenceFileJson))]
[JsonSerializable(typeof(AppliedJson))]
[JsonSerializable(typeof(PlanStepJson))]
[JsonSerializable(typeof(PlanJson))]
[JsonSerializable(typeof(SentJson))]
[JsonSerializable(typeof(MigratedJson))]
[JsonSerializable(typeof(RepairJson))]
[JsonSerializable(typeof(KeyJson))]
[JsonSerializable(typeof(NodeJson))]
internal sealed partial class StorageJson : JsonSerializerContext;
