using System.Globalization;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>Reads the parts of a rule, with their ranges.</summary>
internal sealed class RuleReader(ProblemList problems)
{
    private static readonly Duration Second = Duration.FromSeconds(1);
    private static readonly Duration Years = Duration.FromDays(3650);

    public Demand? Point(FieldReader fields, string policyZone)
    {
        var zone = fields.Zone(policyZone);
        var hasEvery = fields.Has("every");
        var hasAt = fields.Has("at");
        if (hasEvery == hasAt)
        {
            problems.Error(fields.Source.Position, "a rule about points needs either every = DURATION or at = TIME");
            foreach (var key in (string[])["every", "at", "inside", "outside", "days", "day-of-month", "month", "tolerance", "catch-up"])
            {
                fields.Node(key);
            }

            return null;
        }

        return hasEvery ? Every(fields, zone) : At(fields, zone);
    }

    public WeeklyWindow? Window(FieldReader fields)
    {
        var days = fields.Days("days");
        var from = fields.Clock("from");
        var to = fields.Clock("to");
        if (from is null || to is null)
        {
            if (!fields.Has("from") || !fields.Has("to"))
            {
                problems.Error(fields.Source.Position, "a window needs from and to");
            }

            return null;
        }

        return new WeeklyWindow(days, from.Value, to.Value);
    }

    public Demand? Trigger(FieldReader fields)
    {
        var kind = fields.Choice(
            "on",
            ("cpu", TriggerKind.Cpu),
            ("memory-change", TriggerKind.MemoryChange),
            ("network", TriggerKind.Network),
            ("storage", TriggerKind.Storage),
            ("pressure", TriggerKind.Pressure),
            ("configuration-change", TriggerKind.ConfigurationChange),
            ("program", TriggerKind.Program),
            ("administrator", TriggerKind.Administrator));
        var atMostEvery = fields.Time("at-most-every", Duration.Zero, Years) ?? Duration.FromMinutes(10);
        var within = fields.Time("within", Duration.Zero, Duration.FromDays(1)) ?? Duration.Zero;
        var above = fields.Text("above");
        var sustained = fields.Time("sustained", Duration.Zero, Duration.FromDays(1)) ?? Duration.Zero;
        var path = fields.Text("path");
        var resource = fields.Text("of");
        var run = fields.Text("run");
        var exit = fields.Number("exit", 0, 255) ?? 0;
        var poll = fields.Time("poll", Second, Duration.FromDays(1)) ?? Duration.FromMinutes(1);
        if (kind is not { } known)
        {
            if (!fields.Has("on"))
            {
                problems.Error(fields.Source.Position, "a trigger needs on = cpu, memory-change, network, storage, pressure, configuration-change, program or administrator");
            }

            return null;
        }

        var threshold = 0.0;
        if (known <= TriggerKind.Pressure)
        {
            if (above is null || !TryThreshold(known, above, out threshold))
            {
                fields.Wrong("above", known switch
                {
                    TriggerKind.Cpu or TriggerKind.Storage or TriggerKind.Pressure => "the trigger needs above = a share from 1% to 100%",
                    TriggerKind.Network => "the trigger needs above = a rate such as 100MiB/s",
                    _ => "the trigger needs above = a size such as 2GiB",
                });
                return null;
            }
        }
        else if (above is not null)
        {
            fields.Wrong("above", "this trigger has no threshold");
        }

        if (known == TriggerKind.Pressure && resource is not (null or "cpu" or "memory" or "io"))
        {
            fields.Wrong("of", $"'{resource}' has no pressure; write cpu, memory or io");
            return null;
        }

        var target = known switch { TriggerKind.ConfigurationChange => path, TriggerKind.Program => run, TriggerKind.Pressure => resource, _ => "" };
        if (target is null)
        {
            problems.Error(fields.Source.Position, known switch
            {
                TriggerKind.Program => "the trigger needs run = \"COMMAND\"",
                TriggerKind.Pressure => "the trigger needs of = cpu, memory or io",
                _ => "the trigger needs path = \"FILE\"",
            });
            return null;
        }

        var polled = known == TriggerKind.Program ? poll : Duration.Zero;
        return new TriggerDemand(new TriggerCondition(known, threshold, sustained, target, known == TriggerKind.Program ? exit : 0, polled), atMostEvery, within);
    }

    public Keep? Keep(FieldReader fields, string policyZone)
    {
        if (fields.Object("keep") is not { } keep)
        {
            return null;
        }

        var zone = keep.Zone(policyZone);
        var duration = keep.Time("for", Duration.Zero, Quantity.Forever) ?? Duration.Zero;
        var last = keep.Number("last", 0, 1_000_000) ?? 0;
        var per = new List<KeepPer>();
        foreach (var (key, period) in ((string, KeepPeriod)[])[("hourly", KeepPeriod.Hour), ("daily", KeepPeriod.Day), ("weekly", KeepPeriod.Week), ("monthly", KeepPeriod.Month), ("yearly", KeepPeriod.Year)])
        {
            if (keep.Number(key, 0, 100_000) is { } count and > 0)
            {
                per.Add(new KeepPer(period, count, zone));
            }
        }

        // A merged policy may keep by the days of several zones.
        if (keep.Node("in-zones") is ConfigObject zones)
        {
            foreach (var field in zones.Fields)
            {
                if (field.Value is ConfigObject inner && Zones.Find(field.Key) is not null)
                {
                    var nested = new FieldReader(new ConfigObject([new ConfigField("keep", inner, field.Position)], field.Position), problems);
                    per.AddRange(Keep(nested, field.Key)!.Per);
                }
                else
                {
                    problems.Error(field.Position, $"'{field.Key}' must be a time zone with hourly, daily, weekly, monthly or yearly");
                }
            }
        }

        keep.Done("keep");
        return new Keep(duration, last, per.Order().ToValueList());
    }

    public PointTerms Terms(FieldReader fields, PointTerms defaults)
    {
        var consistency = fields.Choice("consistency", ("crash", Consistency.Crash), ("application", Consistency.Application), ("volumes", Consistency.Volumes));
        return new PointTerms(consistency ?? defaults.Consistency, ReadCopies(fields) ?? defaults.Copies, ReadStorage(fields) ?? defaults.Storage);
    }

    private EveryDemand? Every(FieldReader fields, string zone)
    {
        var interval = fields.Time("every", Second, Years);
        var inside = Windows(fields, "inside");
        var outside = Windows(fields, "outside");
        if (inside is not null && outside is not null)
        {
            fields.Wrong("outside", "a rule is either inside or outside windows, not both");
        }

        if (interval is not { } value)
        {
            return null;
        }

        if (value.Seconds() != value.TotalSeconds)
        {
            fields.Wrong("every", "an interval must be a whole number of seconds");
        }

        var windows = (inside ?? outside) is { } found ? new TimeWindows(found, zone, outside is not null) : null;
        return new EveryDemand(value, windows);
    }

    private ValueList<WeeklyWindow>? Windows(FieldReader fields, string key)
    {
        var node = fields.Node(key);
        IReadOnlyList<ConfigNode>? items = node switch { null => null, ConfigArray array => array.Items, _ => [node] };
        if (items is null)
        {
            return null;
        }

        var windows = new List<WeeklyWindow>();
        foreach (var item in items)
        {
            if (item is not ConfigObject body)
            {
                problems.Error(item.Position, $"'{key}' must be windows: [{{ days = [mon-fri], from = \"08:00\", to = \"18:00\" }}]");
                continue;
            }

            var window = new FieldReader(body, problems);
            if (Window(window) is { } read)
            {
                windows.Add(read);
            }

            window.Done("a window");
        }

        if (items.Count == 0)
        {
            fields.Wrong(key, "there must be at least one window");
        }

        return windows.ToValueList();
    }

    private CalendarDemand? At(FieldReader fields, string zone)
    {
        var text = fields.Text("at");
        var hourly = text?.StartsWith(':') == true;
        LocalTime? time = null;
        if (hourly && int.TryParse(text.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var minute) && minute < 60)
        {
            time = new LocalTime(0, minute);
        }
        else if (hourly)
        {
            fields.Wrong("at", $"'{text}' is not a minute of the hour; write for example \":15\"");
        }
        else
        {
            time = fields.Clock("at");
        }

        var hasDays = fields.Has("days");
        var days = fields.Days("days");
        var dayOfMonth = fields.Text("day-of-month") == "last" ? 31 : fields.Number("day-of-month", 1, 31);
        var month = fields.Number("month", 1, 12);
        var catchUp = fields.YesNo("catch-up") ?? true;
        if (hourly && (hasDays || dayOfMonth is not null || month is not null))
        {
            fields.Wrong("at", "an hourly rule has no days; use every = 1h with inside = [ … ] to leave days out");
        }

        if (hasDays && (dayOfMonth is not null || month is not null))
        {
            fields.Wrong("days", "either days of the week or a day of the month, not both");
        }

        if (month is not null && dayOfMonth is null)
        {
            fields.Wrong("month", "month needs day-of-month");
        }

        if (time is not { } at)
        {
            return null;
        }

        var pattern = hourly ? CalendarPattern.Hourly(at.Minute)
            : month is { } m ? CalendarPattern.Yearly(m, dayOfMonth ?? 1, at)
            : dayOfMonth is { } day ? CalendarPattern.Monthly(day, at)
            : CalendarPattern.Daily(at, days);
        var (before, after) = Tolerance(fields);
        if (before + after >= Shortest(pattern))
        {
            fields.Wrong("tolerance", "the tolerances of two anchors in a row must not overlap; make it smaller");
        }

        return new CalendarDemand(pattern, zone, before, after, catchUp);
    }

    private static Duration Shortest(CalendarPattern pattern) => pattern.Period switch
    {
        AnchorPeriod.Hour => Duration.FromHours(1),
        AnchorPeriod.Day => Duration.FromHours(23),
        AnchorPeriod.Month => Duration.FromDays(27),
        _ => Duration.FromDays(364),
    };

    private (Duration Before, Duration After) Tolerance(FieldReader fields)
    {
        var most = Duration.FromDays(180);
        if (fields.Node("tolerance") is not ConfigObject)
        {
            var both = fields.Time("tolerance", Duration.Zero, most) ?? Duration.Zero;
            return (both, both);
        }

        var inner = fields.Object("tolerance")!;
        var before = inner.Time("before", Duration.Zero, most) ?? Duration.Zero;
        var after = inner.Time("after", Duration.Zero, most) ?? Duration.Zero;
        inner.Done("tolerance");
        return (before, after);
    }

    private Copies? ReadCopies(FieldReader fields)
    {
        if (fields.Object("copies") is not { } copies)
        {
            return null;
        }

        var lag = copies.Time("lag", Second, Years);
        var atLeast = copies.Number("at-least", 1, 100) ?? 0;
        var to = new List<CopyTo>();
        foreach (var field in copies.Object("to")?.Source.Fields ?? [])
        {
            if (field.Value is not ConfigObject body)
            {
                problems.Error(field.Position, $"a device must be an object: {field.Key} {{ lag = 1h }}");
                continue;
            }

            var device = new FieldReader(body, problems);
            to.Add(new CopyTo(field.Key, device.Time("lag", Second, Quantity.Forever) ?? lag ?? Quantity.Forever));
            device.Done("a device");
        }

        copies.Done("copies");
        if (atLeast == 0 && to.Count == 0)
        {
            problems.Error(copies.Source.Position, "copies needs to { DEVICE { … } } or at-least");
        }

        return new Copies(to.Order().ToValueList(), atLeast, atLeast > 0 ? lag ?? Quantity.Forever : Quantity.Forever);
    }

    private static StorageTerms? ReadStorage(FieldReader fields)
    {
        if (fields.Object("storage") is not { } storage)
        {
            return null;
        }

        var tier = storage.Choice("tier", ("any", StorageTier.Any), ("cold", StorageTier.Cold), ("warm", StorageTier.Warm), ("hot", StorageTier.Hot)) ?? StorageTier.Any;
        var compression = storage.Choice("compression", ("any", Compression.Any), ("fast", Compression.Fast), ("strong", Compression.Strong)) ?? Compression.Any;
        var encrypted = storage.YesNo("encryption") ?? false;
        var immutable = storage.Time("immutable-for", Duration.Zero, Duration.FromDays(365 * 100)) ?? Duration.Zero;
        storage.Done("storage");
        return new StorageTerms(tier, compression, encrypted, immutable);
    }

    private static bool TryThreshold(TriggerKind kind, string text, out double value)
    {
        value = 0;
        switch (kind)
        {
            case TriggerKind.Cpu or TriggerKind.Storage or TriggerKind.Pressure:
                return text.EndsWith('%')
                    && double.TryParse(text.AsSpan(0, text.Length - 1).Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out value)
                    && value is >= 1 and <= 100;
            case TriggerKind.Network:
                var isRate = Quantity.TryParseRate(text, out var rate);
                value = rate;
                return isRate && rate > 0;
            default:
                var isSize = Quantity.TryParseSize(text, out var size);
                value = size;
                return isSize && size > 0;
        }
    }
}
