using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Akka.Actor;
using Akka.Serialization;

namespace Holdfast.Actors.Protection;

/// <summary>Writes the events and the state of protection as JSON, each under a name of its own; makes nothing that is not in this list.</summary>
public sealed class ProtectionEventSerializer : SerializerWithStringManifest
{
    /// <summary>Makes one.</summary>
    /// <param name="system">The actor system.</param>
    public ProtectionEventSerializer(ExtendedActorSystem system)
        : base(system)
    {
    }

    /// <inheritdoc/>
    public override int Identifier => 7301;

    /// <inheritdoc/>
    public override string Manifest(object o) => o switch
    {
        PolicyAssigned => "policy-assigned",
        PolicyUnassigned => "policy-unassigned",
        TriggerFired => "trigger-fired",
        PointTaken => "point-taken",
        PointFailed => "point-failed",
        PromiseBroken => "promise-broken",
        SnapshotsRemoved => "snapshots-removed",
        ClockNoted => "clock-noted",
        ClockWentBack => "clock-went-back",
        ProtectionState => "protection-state",
        GroupPolicyAssigned => "group-policy-assigned",
        GroupPolicyUnassigned => "group-policy-unassigned",
        _ => throw new ArgumentException($"{o?.GetType().Name} is never kept"),
    };

    /// <inheritdoc/>
    public override byte[] ToBinary(object obj) => JsonSerializer.SerializeToUtf8Bytes(obj, TypeOf(Manifest(obj)));

    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, string manifest) =>
        JsonSerializer.Deserialize(bytes, TypeOf(manifest)) ?? throw new JsonException($"an empty {manifest}");

    private static JsonTypeInfo TypeOf(string manifest) => manifest switch
    {
        "policy-assigned" => ProtectionJson.Default.PolicyAssigned,
        "policy-unassigned" => ProtectionJson.Default.PolicyUnassigned,
        "trigger-fired" => ProtectionJson.Default.TriggerFired,
        "point-taken" => ProtectionJson.Default.PointTaken,
        "point-failed" => ProtectionJson.Default.PointFailed,
        "promise-broken" => ProtectionJson.Default.PromiseBroken,
        "snapshots-removed" => ProtectionJson.Default.SnapshotsRemoved,
        "clock-noted" => ProtectionJson.Default.ClockNoted,
        "clock-went-back" => ProtectionJson.Default.ClockWentBack,
        "protection-state" => ProtectionJson.Default.ProtectionState,
        "group-policy-assigned" => ProtectionJson.Default.GroupPolicyAssigned,
        "group-policy-unassigned" => ProtectionJson.Default.GroupPolicyUnassigned,
        _ => throw new ArgumentException($"'{manifest}' was written by a later version of Holdfast"),
    };
}

/// <summary>The form of what is kept and of what crosses the socket of a supervisor.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(PolicyAssigned))]
[JsonSerializable(typeof(PolicyUnassigned))]
[JsonSerializable(typeof(TriggerFired))]
[JsonSerializable(typeof(PointTaken))]
[JsonSerializable(typeof(PointFailed))]
[JsonSerializable(typeof(PromiseBroken))]
[JsonSerializable(typeof(SnapshotsRemoved))]
[JsonSerializable(typeof(ClockNoted))]
[JsonSerializable(typeof(ClockWentBack))]
[JsonSerializable(typeof(ProtectionState))]
[JsonSerializable(typeof(GroupPolicyAssigned))]
[JsonSerializable(typeof(GroupPolicyUnassigned))]
internal sealed partial class ProtectionJson : JsonSerializerContext;
