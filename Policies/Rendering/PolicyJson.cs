using System.Buffers;
using System.Text;
using System.Text.Json;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>The same as JSON, one object per line, with field names that do not change.</summary>
public static class PolicyJson
{
    /// <summary>A line per checkpoint (<c>"kind": "point"</c>), then one per conflict and per missed promise.</summary>
    public static string Lines(Plan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var text = new StringBuilder();
        foreach (var point in plan.Points)
        {
            Line(text, json =>
            {
                json.WriteString("kind", "point");
                json.WriteString("at", Show(point.At));
                json.WriteString("consistency", point.Terms.Consistency.ToString().ToLowerInvariant());
                Copies(json, point.Terms.Copies);
                json.WriteBoolean("encrypted", point.Terms.Storage.Encrypted);
                json.WriteStartArray("rules");
                foreach (var service in point.Serves)
                {
                    json.WriteStartObject();
                    Strings(json, "names", service.Rule.Sources.Select(s => s.ToString()));
                    json.WriteString("from", Show(service.From));
                    json.WriteString("due", Show(service.Due));
                    json.WriteString("occurrence", Show(service.Occurrence));
                    json.WriteBoolean("late", service.Late);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
        }

        foreach (var conflict in plan.Conflicts)
        {
            Line(text, json => Conflict(json, conflict));
        }

        foreach (var missed in plan.Missed)
        {
            Line(text, json =>
            {
                json.WriteString("kind", "missed");
                Strings(json, "rule", missed.Rule.Sources.Select(s => s.ToString()));
                json.WriteString("occurrence", Show(missed.Occurrence));
                json.WriteString("due", Show(missed.Due));
            });
        }

        return text.ToString();
    }

    /// <summary>A line per snapshot, with <c>"keep": true</c> or <c>false</c> and the reasons.</summary>
    public static string Lines(RetentionDecision decision)
    {
        ArgumentNullException.ThrowIfNull(decision);
        var text = new StringBuilder();
        foreach (var kept in decision.Keep)
        {
            Line(text, json =>
            {
                Snapshot(json, kept.Snapshot, keep: true);
                if (kept.Until is { } until)
                {
                    json.WriteString("until", Show(until));
                }

                json.WriteStartArray("because");
                foreach (var reason in kept.Reasons)
                {
                    json.WriteStartObject();
                    json.WriteString("what", reason.What);
                    Strings(json, "rule", reason.Rule?.Sources.Select(s => s.ToString()) ?? []);
                    if (reason.Until is { } end)
                    {
                        json.WriteString("until", Show(end));
                    }

                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
        }

        foreach (var removed in decision.Remove)
        {
            Line(text, json =>
            {
                Snapshot(json, removed.Snapshot, keep: false);
                Strings(json, "why", removed.Why);
            });
        }

        return text.ToString();
    }

    /// <summary>One line for a merge: costs, fates, conflicts, whether it is accepted, and if not why and what would fit.</summary>
    public static string Line(MergeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var text = new StringBuilder();
        Line(text, json =>
        {
            json.WriteString("kind", "merge");
            json.WriteString("policy", report.Full.Name);
            json.WriteBoolean("accepted", report.Accepted);
            json.WriteBoolean("overlaps", report.Overlaps);
            json.WriteString("sharing", report.Full.Sharing.ToString());
            json.WriteString("hocon", PolicyWriter.Write(report.Reduced));
            Costs(json, "cost", report.Cost);
            Costs(json, "sideBySide", report.SideBySide);
            json.WriteStartObject("alone");
            foreach (var alone in report.Alone)
            {
                Costs(json, alone.Policy, alone.Cost);
            }

            json.WriteEndObject();
            json.WriteStartArray("rules");
            foreach (var fate in report.Fates)
            {
                json.WriteStartObject();
                json.WriteString("rule", fate.Rule.ToString());
                json.WriteString("fate", fate.What);
                Strings(json, "by", fate.By?.Sources.Select(s => s.ToString()) ?? []);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteStartArray("conflicts");
            foreach (var conflict in report.Conflicts)
            {
                json.WriteStartObject();
                Conflict(json, conflict);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            if (report.Refusal is { } refusal)
            {
                Refusal(json, refusal);
            }
        });
        return text.ToString();
    }

    /// <summary>A line per problem.</summary>
    public static string Lines(IEnumerable<PolicyProblem> problems)
    {
        ArgumentNullException.ThrowIfNull(problems);
        var text = new StringBuilder();
        foreach (var problem in problems)
        {
            Line(text, json =>
            {
                json.WriteString("severity", problem.Severity.ToString().ToLowerInvariant());
                json.WriteString("file", problem.Position.File);
                json.WriteNumber("line", problem.Position.Line);
                json.WriteString("policy", problem.Policy);
                json.WriteString("rule", problem.Rule);
                json.WriteString("message", problem.Message);
            });
        }

        return text.ToString();
    }

    /// <summary>One line for the explanation of a snapshot.</summary>
    public static string Line(SnapshotExplanation explanation)
    {
        ArgumentNullException.ThrowIfNull(explanation);
        var text = new StringBuilder();
        Line(text, json =>
        {
            json.WriteString("snapshot", explanation.Snapshot.Id);
            json.WriteString("taken", Show(explanation.Snapshot.Taken));
            Strings(json, "exists", explanation.Exists);
            Strings(json, "kept", explanation.Kept);
            Strings(json, "removed", explanation.Removed);
        });
        return text.ToString();
    }

    private static void Refusal(Utf8JsonWriter json, MergeRefusal refusal)
    {
        json.WriteStartObject("refusal");
        Strings(json, "breaches", refusal.Breaches.Select(b => b.ToString()));
        json.WriteStartArray("costly");
        foreach (var costly in refusal.Costly)
        {
            json.WriteStartObject();
            Strings(json, "rule", costly.Rule.Sources.Select(s => s.ToString()));
            Costs(json, "saving", costly.Saving);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("relaxations");
        foreach (var relaxation in refusal.Relaxations)
        {
            json.WriteStartObject();
            json.WriteString("what", relaxation.What);
            Costs(json, "saving", relaxation.Saving);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("search", refusal.Search);
        if (refusal.Nearest is { } nearest)
        {
            json.WriteStartObject("nearest");
            json.WriteString("hocon", PolicyWriter.Write(nearest.Policy));
            Strings(json, "steps", nearest.Steps);
            Costs(json, "cost", nearest.Cost);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void Conflict(Utf8JsonWriter json, Conflict conflict)
    {
        json.WriteString("kind", "conflict");
        Strings(json, "rule", conflict.Rule.Sources.Select(s => s.ToString()));
        Strings(json, "limits", conflict.Limits.SelectMany(l => l.Sources).Select(s => s.ToString()));
        json.WriteString("from", Show(conflict.From));
        json.WriteString("until", Show(conflict.Until));
        json.WriteNumber("times", conflict.Times);
        json.WriteString("what", conflict.What);
    }

    private static void Snapshot(Utf8JsonWriter json, SnapshotRecord snapshot, bool keep)
    {
        json.WriteString("snapshot", snapshot.Id);
        json.WriteString("taken", Show(snapshot.Taken));
        json.WriteBoolean("keep", keep);
    }

    private static void Copies(Utf8JsonWriter json, Copies copies)
    {
        json.WriteStartArray("copies");
        foreach (var copy in copies.To)
        {
            json.WriteStartObject();
            json.WriteString("device", copy.Device);
            if (copy.Lag < Quantity.Forever)
            {
                json.WriteNumber("lagSeconds", copy.Lag.TotalSeconds);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("atLeastCopies", copies.Count);
    }

    private static void Costs(Utf8JsonWriter json, string name, Cost cost)
    {
        json.WriteStartObject(name);
        json.WriteNumber("checkpointsPerDay", cost.Checkpoints);
        json.WriteNumber("freezeSecondsPerDay", cost.Freeze);
        json.WriteNumber("writtenBytesPerDay", cost.Written);
        json.WriteNumber("storedBytes", cost.Stored);
        json.WriteNumber("sentBytesPerDay", cost.Sent);
        json.WriteEndObject();
    }

    private static void Strings(Utf8JsonWriter json, string name, IEnumerable<string> values)
    {
        json.WriteStartArray(name);
        foreach (var value in values)
        {
            json.WriteStringValue(value);
        }

        json.WriteEndArray();
    }

    private static string Show(Instant at) => NodaTime.Text.InstantPattern.ExtendedIso.Format(at);

    private static void Line(StringBuilder text, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        text.Append(Encoding.UTF8.GetString(buffer.WrittenSpan)).Append('\n');
    }
}
