using System.Text.Json;
using System.Text.Json.Serialization;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <summary>
/// What a snapshot remembers of the policies that asked for it. It is committed with the snapshot, in one step, so that whatever dies
/// when, what is served can be told from the snapshots alone.
/// </summary>
public sealed record SnapshotPolicyTag
{
    /// <summary>The name of the tag in the catalogue.</summary>
    public const string Name = "policy";

    /// <summary>When the plan wanted the point.</summary>
    public DateTimeOffset Planned { get; init; }

    /// <summary>When it was asked for.</summary>
    public DateTimeOffset Asked { get; init; }

    /// <summary>What it fulfils.</summary>
    public IReadOnlyList<ServedTag> Serves { get; set; } = [];

    /// <summary>What it holds together.</summary>
    public string Consistency { get; set; } = "crash";

    /// <summary>Whether it had to be encrypted.</summary>
    public bool Encrypted { get; init; }

    /// <summary>Until when nobody may remove it, or null.</summary>
    public DateTimeOffset? ImmutableUntil { get; init; }

    /// <summary>True when a person asked for it, and only rules for every point apply.</summary>
    public bool ByHand { get; init; }

    /// <summary>The tag of a planned point.</summary>
    /// <param name="point">The point.</param>
    /// <param name="asked">When it is asked for.</param>
    /// <param name="byHand">Whether a person asks for it.</param>
    public static SnapshotPolicyTag Of(PlannedPoint point, DateTimeOffset asked, bool byHand = false)
    {
        ArgumentNullException.ThrowIfNull(point);
        StorageTerms storage = point.Terms.Storage;
        return new SnapshotPolicyTag
        {
            Planned = point.At.ToDateTimeOffset(),
            Asked = asked,
            Serves = [.. point.Serves.SelectMany(s => s.Rule.Sources.Select(id => new ServedTag(id.ToString(), s.Occurrence.ToDateTimeOffset(), s.Late)))],
            Consistency = point.Terms.Consistency.ToString().ToLowerInvariant(),
            Encrypted = storage.Encrypted,
            ImmutableUntil = storage.ImmutableFor > Duration.Zero ? Later(asked, storage.ImmutableFor) : null,
            ByHand = byHand,
        };
    }

    /// <summary>The tag among those of a snapshot; null when there is none, or none that this version can read.</summary>
    public static SnapshotPolicyTag? In(IReadOnlyDictionary<string, string> tags)
    {
        ArgumentNullException.ThrowIfNull(tags);
        try
        {
            return tags.TryGetValue(Name, out string? text) ? JsonSerializer.Deserialize(text, SnapshotTagJson.Default.SnapshotPolicyTag) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>As a tag to be recorded.</summary>
    public IReadOnlyDictionary<string, string> ToTags() =>
        new Dictionary<string, string> { [Name] = JsonSerializer.Serialize(this, SnapshotTagJson.Default.SnapshotPolicyTag) };

    /// <summary>A snapshot as retention sees it.</summary>
    public static SnapshotRecord RecordOf(StoredSnapshot snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        SnapshotPolicyTag? tag = In(snapshot.Tags);
        Consistency consistency = Enum.TryParse(tag?.Consistency, true, out Consistency known) ? known : Holdfast.Policies.Consistency.Application;
        return new SnapshotRecord(
            snapshot.Id,
            Instant.FromDateTimeOffset(snapshot.Taken),
            snapshot.Good,
            PointTerms.Least with { Consistency = consistency, Storage = StorageTerms.Any with { Encrypted = tag?.Encrypted ?? false } },
            (tag?.Serves ?? []).Select(s => new ServedRule(RuleId.Parse(s.Rule), Instant.FromDateTimeOffset(s.Occurrence))).ToValueList(),
            tag is null || tag.ByHand ? SnapshotOrigin.Hand : SnapshotOrigin.Policy,
            tag?.ImmutableUntil is { } until ? Instant.FromDateTimeOffset(until) : null,
            snapshot.BaseFor.Count == 0 ? null : snapshot.BaseFor.ToValueList());
    }

    private static DateTimeOffset Later(DateTimeOffset asked, Duration duration) =>
        duration.TotalDays < 365_000 ? asked + duration.ToTimeSpan() : DateTimeOffset.MaxValue;
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(SnapshotPolicyTag))]
internal sealed partial class SnapshotTagJson : JsonSerializerContext;
