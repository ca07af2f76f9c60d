using System.Globalization;
using System.Text;
using NodaTime;
using NodaTime.Text;

namespace Holdfast.Policies;

/// <summary>Writes a policy as HOCON that <see cref="PolicyReader"/> reads as the same policy.</summary>
public static class PolicyWriter
{
    /// <summary>Writes one policy as a whole file.</summary>
    public static string Write(Policy policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        var text = new StringBuilder();
        text.Append("policies {\n  ").Append(Quote(policy.Name)).Append(" {\n");
        if (policy.Sharing != Sharing.FewestPoints)
        {
            text.Append("    sharing = ").Append(policy.Sharing == Sharing.PerPolicy ? "per-policy" : "longest-kept-first").Append('\n');
        }

        var names = new HashSet<string>();
        Section(text, policy, names, "points", policy.Rules.Where(r => r.Clause.Demand is EveryDemand or CalendarDemand));
        Section(text, policy, names, "triggers", policy.Rules.Where(r => r.Clause.Demand is TriggerDemand));
        Section(text, policy, names, "for-every-point", policy.Rules.Where(r => r.Clause.Demand is AnyPointDemand));
        Limits(text, policy, names);
        return text.Append("  }\n}\n").ToString();
    }

    private static void Section(StringBuilder text, Policy policy, HashSet<string> names, string section, IEnumerable<PointRule> rules)
    {
        var list = rules.ToList();
        if (list.Count == 0)
        {
            return;
        }

        text.Append("    ").Append(section).Append(" {\n");
        foreach (var rule in list)
        {
            text.Append("      ").Append(Quote(Name(policy, names, rule.Sources))).Append(" {\n");
            foreach (var line in Lines(rule.Clause))
            {
                text.Append("        ").Append(line).Append('\n');
            }

            MergedFrom(text, policy, rule.Sources, "        ");
            text.Append("      }\n");
        }

        text.Append("    }\n");
    }

    private static void Limits(StringBuilder text, Policy policy, HashSet<string> names)
    {
        if (policy.Limits.Count == 0)
        {
            return;
        }

        text.Append("    limits {\n");
        foreach (var rule in policy.Limits)
        {
            var value = rule.Limit switch
            {
                FreezeLimit f => ("freeze", Quantity.Format(f.AtMost)),
                BandwidthLimit b => ("bandwidth", Quantity.FormatExactSize(b.BytesPerSecond) + "/s"),
                _ => default,
            };
            if (value.Item1 is null)
            {
                continue;
            }

            text.Append("      ").Append(value.Item1).Append(" {\n        at-most = ").Append(value.Item2).Append('\n');
            MergedFrom(text, policy, rule.Sources, "        ", value.Item1);
            text.Append("      }\n");
        }

        var blackouts = policy.Limits.Where(l => l.Limit is BlackoutLimit).ToList();
        if (blackouts.Count > 0)
        {
            text.Append("      not-during {\n");
            foreach (var rule in blackouts)
            {
                var limit = (BlackoutLimit)rule.Limit;
                text.Append("        ").Append(Quote(Name(policy, names, rule.Sources))).Append(" {\n");
                text.Append("          ").Append(Window(limit.Window)).Append(", zone = \"").Append(limit.Zone).Append("\"\n");
                MergedFrom(text, policy, rule.Sources, "          ");
                text.Append("        }\n");
            }

            text.Append("      }\n");
        }

        text.Append("    }\n");
    }

    private static string Name(Policy policy, HashSet<string> names, ValueList<RuleId> sources)
    {
        var id = sources[0];
        var name = sources.Count == 1 && id.Policy == policy.Name ? id.Rule : $"{id.Policy}-{id.Rule}";
        var unique = name;
        for (var n = 2; !names.Add(unique); n++)
        {
            unique = $"{name}-{n}";
        }

        return unique;
    }

    private static void MergedFrom(StringBuilder text, Policy policy, ValueList<RuleId> sources, string indent, string? ownName = null)
    {
        if (sources.Count == 1 && sources[0].Policy == policy.Name && (ownName is null || sources[0].Rule == ownName))
        {
            return;
        }

        text.Append(indent).Append("merged-from = [").AppendJoin(", ", sources.Select(s => $"\"{Escape(s.ToString())}\"")).Append("]\n");
    }

    /// <summary>The lines of a clause, without its name.</summary>
    internal static IEnumerable<string> Lines(Clause clause)
    {
        foreach (var line in DemandLines(clause.Demand))
        {
            yield return line;
        }

        if (!clause.Keep.Equals(Keep.Nothing))
        {
            yield return "keep { " + KeepText(clause.Keep) + " }";
        }

        var terms = clause.Terms;
        if (terms.Consistency != Consistency.Crash)
        {
            yield return "consistency = " + terms.Consistency.ToString().ToLowerInvariant();
        }

        if (!terms.Copies.Equals(Copies.None))
        {
            yield return "copies { " + CopiesText(terms.Copies) + " }";
        }

        if (!terms.Storage.Equals(StorageTerms.Any))
        {
            var s = terms.Storage;
            yield return $"storage {{ tier = {s.Tier.ToString().ToLowerInvariant()}, compression = {s.Compression.ToString().ToLowerInvariant()}"
                + $", encryption = {(s.Encrypted ? "required" : "optional")}, immutable-for = {Quantity.Format(s.ImmutableFor)} }}";
        }
    }

    /// <summary>A clause on one line, for tables.</summary>
    internal static string OneLine(Clause clause) => string.Join(", ", Lines(clause));

    private static IEnumerable<string> DemandLines(Demand demand)
    {
        switch (demand)
        {
            case EveryDemand every:
                yield return "every = " + Quantity.Format(every.Interval);
                if (every.Windows is { } windows)
                {
                    yield return $"zone = \"{windows.Zone}\"";
                    yield return $"{(windows.Outside ? "outside" : "inside")} = [{string.Join(", ", windows.Windows.Select(w => "{ " + Window(w) + " }"))}]";
                }

                break;
            case CalendarDemand calendar:
                yield return PatternText(calendar.Pattern);
                yield return $"zone = \"{calendar.Zone}\"";
                if (calendar.Before + calendar.After > Duration.Zero)
                {
                    yield return $"tolerance {{ before = {Quantity.Format(calendar.Before)}, after = {Quantity.Format(calendar.After)} }}";
                }

                if (!calendar.CatchUp)
                {
                    yield return "catch-up = no";
                }

                break;
            case TriggerDemand trigger:
                yield return TriggerText(trigger);
                break;
            default:
                break;
        }
    }

    private static string PatternText(CalendarPattern pattern) => pattern.Period switch
    {
        AnchorPeriod.Hour => $"at = \":{pattern.Time.Minute:00}\"",
        AnchorPeriod.Day when pattern.Days == WeekDays.All => $"at = \"{Clock(pattern.Time)}\"",
        AnchorPeriod.Day => $"at = \"{Clock(pattern.Time)}\", days = {DaysText(pattern.Days)}",
        AnchorPeriod.Month => $"at = \"{Clock(pattern.Time)}\", day-of-month = {pattern.DayOfMonth}",
        _ => $"at = \"{Clock(pattern.Time)}\", day-of-month = {pattern.DayOfMonth}, month = {pattern.Month}",
    };

    private static string TriggerText(TriggerDemand trigger)
    {
        var c = trigger.Condition;
        var number = c.Above.ToString("R", CultureInfo.InvariantCulture);
        var what = c.Kind switch
        {
            TriggerKind.Cpu => $"on = cpu, above = {number}%",
            TriggerKind.Storage => $"on = storage, above = {number}%",
            TriggerKind.MemoryChange => $"on = memory-change, above = {Quantity.FormatExactSize((long)c.Above)}",
            TriggerKind.Network => $"on = network, above = {Quantity.FormatExactSize((long)c.Above)}/s",
            TriggerKind.Pressure => $"on = pressure, of = {c.Target}, above = {number}%",
            TriggerKind.ConfigurationChange => $"on = configuration-change, path = \"{Escape(c.Target)}\"",
            TriggerKind.Program => $"on = program, run = \"{Escape(c.Target)}\", exit = {c.ExitStatus}, poll = {Quantity.Format(c.Poll)}",
            _ => "on = administrator",
        };
        var sustained = c.Sustained > Duration.Zero ? $", sustained = {Quantity.Format(c.Sustained)}" : "";
        return $"{what}{sustained}, at-most-every = {Quantity.Format(trigger.AtMostEvery)}, within = {Quantity.Format(trigger.Within)}";
    }

    private static string KeepText(Keep keep)
    {
        var parts = new List<string>();
        if (keep.For > Duration.Zero)
        {
            parts.Add("for = " + Quantity.Format(keep.For));
        }

        if (keep.Last > 0)
        {
            parts.Add($"last = {keep.Last}");
        }

        if (keep.Per.Count > 0)
        {
            var zones = keep.Per.Select(p => p.Zone).Distinct().Order(StringComparer.Ordinal).ToList();
            parts.Add($"zone = \"{zones[0]}\"");
            parts.AddRange(Periods(keep, zones[0]));
            if (zones.Count > 1)
            {
                parts.Add($"in-zones {{ {string.Join(", ", zones.Skip(1).Select(z => $"\"{z}\" {{ {string.Join(", ", Periods(keep, z))} }}"))} }}");
            }
        }

        return string.Join(", ", parts);
    }

    private static IEnumerable<string> Periods(Keep keep, string zone) => keep.Per.Where(p => p.Zone == zone).Select(p => $"{PeriodName(p.Period)} = {p.Count}");

    private static string PeriodName(KeepPeriod period) => period switch
    {
        KeepPeriod.Hour => "hourly",
        KeepPeriod.Day => "daily",
        KeepPeriod.Week => "weekly",
        KeepPeriod.Month => "monthly",
        _ => "yearly",
    };

    private static string CopiesText(Copies copies)
    {
        var parts = new List<string>();
        if (copies.AtLeast > 0)
        {
            parts.Add($"at-least = {copies.AtLeast}");
            if (copies.Lag < Quantity.Forever)
            {
                parts.Add("lag = " + Quantity.Format(copies.Lag));
            }
        }

        if (copies.To.Count > 0)
        {
            parts.Add($"to {{ {string.Join(", ", copies.To.Select(c => $"{Quote(c.Device)} {{ lag = {Quantity.Format(c.Lag)} }}"))} }}");
        }

        return string.Join(", ", parts);
    }

    private static string Window(WeeklyWindow window) => $"days = {DaysText(window.Days)}, from = \"{Clock(window.From)}\", to = \"{Clock(window.To)}\"";

    private static string DaysText(WeekDays days) => "[" + string.Join(", ", new[] { "mon", "tue", "wed", "thu", "fri", "sat", "sun" }.Where((_, i) => ((int)days & (1 << i)) != 0)) + "]";

    private static string Clock(LocalTime time) => LocalTimePattern.CreateWithInvariantCulture("HH:mm:ss").Format(time);

    private static string Quote(string name) => name.All(c => char.IsLetterOrDigit(c) || c is '-' or '_') ? name : $"\"{Escape(name)}\"";

    private static string Escape(string text) => text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}
