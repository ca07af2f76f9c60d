using System.Globalization;
using NodaTime;
using NodaTime.Text;

namespace Holdfast.Policies;

/// <summary>Collects the problems of one policy while it is read.</summary>
internal sealed class ProblemList(string policy)
{
    private readonly List<PolicyProblem> _problems = [];

    public string Policy { get; } = policy;

    public string Rule { get; set; } = "";

    public IReadOnlyList<PolicyProblem> All => _problems;

    public bool HasErrors => _problems.Exists(p => p.Severity == ProblemSeverity.Error);

    public void Error(SourcePosition at, string message) => _problems.Add(new PolicyProblem(ProblemSeverity.Error, at, Policy, Rule, message));

    public void Warning(SourcePosition at, string message) => _problems.Add(new PolicyProblem(ProblemSeverity.Warning, at, Policy, Rule, message));
}

/// <summary>Reads the fields of one object, each with its type and range, and refuses those that nobody asked for.</summary>
internal sealed class FieldReader(ConfigObject source, ProblemList problems)
{
    private readonly HashSet<string> _known = [];

    public ConfigObject Source { get; } = source;

    public ConfigNode? Node(string key)
    {
        _known.Add(key);
        return Source[key];
    }

    public bool Has(string key) => Source[key] is not null;

    public FieldReader? Object(string key) => Node(key) switch
    {
        null => null,
        ConfigObject found => new FieldReader(found, problems),
        var other => Refuse<FieldReader>(other, $"'{key}' must be an object: {key} {{ … }}"),
    };

    public string? Text(string key) => Node(key) switch
    {
        null => null,
        ConfigScalar scalar => scalar.Text,
        var other => Refuse<string>(other, $"'{key}' must be a single value"),
    };

    public Duration? Time(string key, Duration least, Duration most)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        if (!Quantity.TryParseDuration(text, out var value))
        {
            Wrong(key, $"'{text}' is not a duration; write for example 90s, 15m, 1h, 30d or 2w");
            return null;
        }

        if (value < least || value > most)
        {
            Wrong(key, $"'{key} = {text}' is out of range; it must be from {Quantity.Format(least)} to {Quantity.Format(most)}");
            return null;
        }

        return value;
    }

    public int? Number(string key, int least, int most)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least && value <= most)
        {
            return value;
        }

        Wrong(key, $"'{key} = {text}' must be a whole number from {least} to {most}");
        return null;
    }

    public bool? YesNo(string key)
    {
        switch (Text(key))
        {
            case null:
                return null;
            case "yes" or "true" or "on" or "required":
                return true;
            case "no" or "false" or "off" or "optional":
                return false;
            case var text:
                Wrong(key, $"'{key} = {text}' must be yes or no");
                return null;
        }
    }

    public T? Choice<T>(string key, params (string Name, T Value)[] choices)
        where T : struct
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        foreach (var (name, value) in choices)
        {
            if (name == text)
            {
                return value;
            }
        }

        Wrong(key, $"'{key} = {text}' must be one of {string.Join(", ", choices.Select(c => c.Name))}");
        return null;
    }

    public LocalTime? Clock(string key)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        var padded = text.Count(c => c == ':') == 1 ? text + ":00" : text;
        if (padded == "24:00:00")
        {
            return LocalTime.Midnight;
        }

        var parsed = LocalTimePattern.CreateWithInvariantCulture("H:mm:ss").Parse(padded);
        if (parsed.Success)
        {
            return parsed.Value;
        }

        Wrong(key, $"'{key} = {text}' is not a time of day; write for example \"01:00\"");
        return null;
    }

    public string Zone(string fallback)
    {
        if (Text("zone") is not { } text)
        {
            return fallback;
        }

        if (Zones.Find(text) is null)
        {
            Wrong("zone", $"there is no time zone '{text}'; use an IANA name such as Europe/Berlin");
            return fallback;
        }

        return text;
    }

    public WeekDays Days(string key)
    {
        var node = Node(key);
        var items = node switch
        {
            null => null,
            ConfigArray array => array.Items,
            _ => [node],
        };
        if (items is null)
        {
            return WeekDays.All;
        }

        var days = WeekDays.None;
        foreach (var item in items)
        {
            days |= item is ConfigScalar scalar ? OneOrRange(scalar) : Refuse<WeekDays>(item, "a day must be a name such as mon");
        }

        if (items.Count == 0)
        {
            Wrong(key, "there must be at least one day");
        }

        return days;
    }

    public ValueList<RuleId> RuleIds(string key)
    {
        if (Node(key) is not ConfigArray array)
        {
            return [];
        }

        var ids = new List<RuleId>();
        foreach (var item in array.Items)
        {
            if (item is ConfigScalar { Text: var text } && text.IndexOf('.') is var dot && dot > 0 && dot < text.Length - 1)
            {
                ids.Add(RuleId.Parse(text));
            }
            else
            {
                problems.Error(item.Position, $"'{key}' must be a list of policy.rule");
            }
        }

        return ids.Distinct().Order().ToValueList();
    }

    public void Wrong(string key, string message) => problems.Error(Source[key]?.Position ?? Source.Position, message);

    /// <summary>Refuses what was not asked for: a misspelt rule must not be a rule that silently does nothing.</summary>
    public void Done(string where)
    {
        foreach (var field in Source.Fields)
        {
            if (!_known.Contains(field.Key))
            {
                problems.Error(field.Position, $"'{field.Key}' is not a key of {where}; the keys are {string.Join(", ", _known.Order(StringComparer.Ordinal))}");
            }
        }
    }

    private WeekDays OneOrRange(ConfigScalar scalar)
    {
        var parts = scalar.Text.Split('-', StringSplitOptions.TrimEntries);
        var first = Day(parts[0]);
        var last = Day(parts[^1]);
        if (parts.Length > 2 || first < 0 || last < 0)
        {
            return Refuse<WeekDays>(scalar, $"'{scalar.Text}' is not a day; write mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri");
        }

        var days = WeekDays.None;
        for (var day = first; ; day = (day + 1) % 7)
        {
            days |= (WeekDays)(1 << day);
            if (day == last)
            {
                return days;
            }
        }
    }

    private static int Day(string name) => Array.IndexOf(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], name);

    private T? Refuse<T>(ConfigNode node, string message)
    {
        problems.Error(node.Position, message);
        return default;
    }
}
