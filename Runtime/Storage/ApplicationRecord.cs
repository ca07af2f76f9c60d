using System.Text.Json;
using System.Text.Json.Serialization;
using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Storage;

/// <summary>What is kept about an application: <c>apps/NAME/app.json</c>.</summary>
internal sealed record ApplicationRecord
{
    public const int CurrentVersion = 1;

    /// <summary>The version of this record's form.</summary>
    public int Version { get; set; } = CurrentVersion;

    public required string Name { get; init; }

    public required IReadOnlyList<string> Command { get; init; }

    public required ApplicationTarget Target { get; init; }

    /// <summary>Host pid of its main process.</summary>
    public int MainPid { get; init; }

    /// <summary>When it was started or restored, UTC.</summary>
    public DateTimeOffset Started { get; init; }

    /// <summary>The snapshot that it was restored from, or null.</summary>
    public string? RestoredFrom { get; init; }

    /// <summary>The snapshot from which its memory is still being loaded; null when all is in place.</summary>
    public LoadingRecord? Loading { get; init; }

    /// <summary>Why Holdfast ended it, or null.</summary>
    public string? EndedBecause { get; init; }

    /// <summary>Pid of the last supervisor; a hint for people, the lock is what counts.</summary>
    public int SupervisorPid { get; init; }

    /// <summary>How often a checkpoint is taken, in seconds, or null.</summary>
    public double? EverySeconds { get; init; }

    /// <summary>Its labels, each <c>KEY=VALUE</c>; policies can be assigned to all applications with one.</summary>
    public IReadOnlyList<string> Labels { get; set; } = [];

    /// <summary>The directory in which it was run, or null when that is not known.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>The directories whose files belong to its snapshots: absolute, without symbolic links.</summary>
    public IReadOnlyList<string> Volumes { get; set; } = [];

    /// <summary>Its hooks, each <c>STAGE=FILE</c>.</summary>
    public IReadOnlyList<string> Hooks { get; set; } = [];

    /// <summary>Whether its programs load the interceptor.</summary>
    public bool Intercepted { get; init; }

    /// <summary>When it was seen to have ended, UTC, or null.</summary>
    public DateTimeOffset? Ended { get; init; }

    /// <summary>How it ended, once that is known: 0–255, or 128+n for signal n.</summary>
    public int? ExitStatus { get; init; }
}

/// <summary>A snapshot of the store.</summary>
/// <param name="Object">Whose it is.</param>
/// <param name="Snapshot">Which one.</param>
internal sealed record LoadingRecord(string Object, string Snapshot);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(ApplicationRecord))]
internal sealed partial class RecordJson : JsonSerializerContext;
