using NodaTime;

namespace Holdfast.Policies;

/// <summary>Reads policies from configuration: <c>policies { NAME { … } }</c>. The keys are described in the README beside this library.</summary>
public static class PolicyReader
{
    /// <summary>Reads HOCON text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="file">The name to give in problems.</param>
    /// <returns>The policies and the problems; a syntax error is a problem as well.</returns>
    public static PolicyReading ReadText(string text, string file)
    {
        try
        {
            return Read(HoconReader.Read(text, file));
        }
        catch (ConfigSyntaxException e)
        {
            return new PolicyReading([], [new PolicyProblem(ProblemSeverity.Error, e.Position, "", "", e.What)]);
        }
    }

    /// <summary>Reads a tree that another parser built.</summary>
    public static PolicyReading Read(ConfigObject root)
    {
        ArgumentNullException.ThrowIfNull(root);
        var policies = new List<Policy>();
        var general = new ProblemList("");
        var problems = new List<PolicyProblem>();
        var top = new FieldReader(root, general);
        var list = top.Object("policies");
        top.Done("the file");
        if (list is null && !general.HasErrors)
        {
            general.Error(root.Position, "there are no policies; write policies { NAME { … } }");
        }

        problems.AddRange(general.All);
        foreach (var field in list?.Source.Fields ?? [])
        {
            var own = new ProblemList(field.Key);
            if (field.Value is not ConfigObject body)
            {
                own.Error(field.Position, $"a policy must be an object: {field.Key} {{ … }}");
            }
            else if (!IsName(field.Key))
            {
                own.Error(field.Position, $"'{field.Key}' cannot be the name of a policy: no dots, no blanks");
            }
            else
            {
                var policy = new OnePolicy(field.Key, body, own).Read();
                if (!own.HasErrors)
                {
                    policies.Add(policy);
                }
            }

            problems.AddRange(own.All);
        }

        return new PolicyReading(policies.ToValueList(), problems.ToValueList());
    }

    private static bool IsName(string name) => name.Length > 0 && !name.Any(c => c == '.' || char.IsWhiteSpace(c));

    private sealed class OnePolicy(string name, ConfigObject body, ProblemList problems)
    {
        private readonly RuleReader _rules = new(problems);
        private readonly HashSet<RuleId> _ids = [];
        private string _zone = "UTC";

        public Policy Read()
        {
            var fields = new FieldReader(body, problems);
            _zone = fields.Zone("UTC");
            var sharing = fields.Choice("sharing", ("fewest-points", Sharing.FewestPoints), ("longest-kept-first", Sharing.LongestKeptFirst), ("per-policy", Sharing.PerPolicy));
            var defaults = _rules.Terms(fields, PointTerms.Least);
            var keep = _rules.Keep(fields, _zone) ?? Keep.Nothing;
            var points = new List<PointRule>();
            Each(fields, "points", rule => AddPoint(points, rule, _rules.Point(rule.Fields, _zone), keep, defaults, "a rule about points"));
            Each(fields, "triggers", rule => AddPoint(points, rule, _rules.Trigger(rule.Fields), keep, defaults, "a trigger"));
            if (fields.Object("every-point") is { } every)
            {
                problems.Rule = "every-point";
                AddPoint(points, ("every-point", every.Source.Position, every), new AnyPointDemand(), Keep.Nothing, PointTerms.Least, "every-point");
                problems.Rule = "";
            }

            Each(fields, "for-every-point", rule => AddPoint(points, rule, new AnyPointDemand(), Keep.Nothing, PointTerms.Least, "a rule for every point"));
            var limits = new List<LimitRule>();
            if (fields.Object("limits") is { } limitFields)
            {
                ReadLimits(limitFields, limits);
            }

            fields.Done("a policy");
            if (points.Count == 0 && (fields.Has("keep") || fields.Has("copies") || fields.Has("consistency") || fields.Has("storage")))
            {
                problems.Warning(body.Position, "the policy has no points, so its keep, copies, consistency and storage apply to nothing; write them in every-point { … } if they are meant for the points of other policies");
            }

            return new Policy(name, points.ToValueList(), limits.ToValueList(), sharing ?? Sharing.FewestPoints);
        }

        private void Each(FieldReader fields, string key, Action<(string Name, SourcePosition At, FieldReader Fields)> read)
        {
            foreach (var field in fields.Object(key)?.Source.Fields ?? [])
            {
                problems.Rule = field.Key;
                if (field.Value is ConfigObject rule)
                {
                    read((field.Key, field.Position, new FieldReader(rule, problems)));
                }
                else
                {
                    problems.Error(field.Position, $"a rule must be an object: {field.Key} {{ … }}");
                }

                problems.Rule = "";
            }
        }

        private void AddPoint(
            List<PointRule> into, (string Name, SourcePosition At, FieldReader Fields) rule, Demand? demand, Keep keep, PointTerms defaults, string where)
        {
            var own = _rules.Keep(rule.Fields, _zone) ?? keep;
            var terms = _rules.Terms(rule.Fields, defaults);
            var sources = Sources(rule.Fields, rule.Name, rule.At);
            rule.Fields.Done(where);
            if (demand is not null)
            {
                into.Add(new PointRule(sources, new Clause(demand, own, terms), rule.At));
            }
        }

        private ValueList<RuleId> Sources(FieldReader fields, string rule, SourcePosition at)
        {
            var merged = fields.RuleIds("merged-from");
            ValueList<RuleId> sources = merged.Count > 0 ? merged : [new RuleId(name, rule)];
            foreach (var id in sources)
            {
                if (!_ids.Add(id))
                {
                    problems.Error(at, $"there are two rules with the name {id}; give one another name");
                }
            }

            return sources;
        }

        private void ReadLimits(FieldReader fields, List<LimitRule> limits)
        {
            problems.Rule = "freeze";
            AddLimit(fields, limits, "freeze", f => f.Time("at-most", Duration.FromMilliseconds(1), Duration.FromHours(1)) is { } most ? new FreezeLimit(most) : null);
            problems.Rule = "bandwidth";
            AddLimit(fields, limits, "bandwidth", f =>
            {
                if (f.Text("at-most") is not { } text)
                {
                    return null;
                }

                if (Quantity.TryParseRate(text, out var rate) && rate >= 1024)
                {
                    return new BandwidthLimit(rate);
                }

                f.Wrong("at-most", $"'{text}' is not a bandwidth of at least 1KiB/s; write for example 50MiB/s");
                return null;
            });
            problems.Rule = "";
            Each(fields, "not-during", rule =>
            {
                var zone = rule.Fields.Zone(_zone);
                var window = _rules.Window(rule.Fields);
                var sources = Sources(rule.Fields, rule.Name, rule.At);
                rule.Fields.Done("not-during");
                if (window is not null)
                {
                    limits.Add(new LimitRule(sources, new BlackoutLimit(window, zone), rule.At));
                }
            });
            fields.Done("limits");
        }

        // A limit is written as a value, or as an object with at-most beside merged-from.
        private void AddLimit(FieldReader fields, List<LimitRule> limits, string key, Func<FieldReader, Limit?> read)
        {
            if (fields.Node(key) is not { } node)
            {
                return;
            }

            var inner = node as ConfigObject ?? new ConfigObject([new ConfigField("at-most", node, node.Position)], node.Position);
            var limitFields = new FieldReader(inner, problems);
            var limit = read(limitFields);
            var sources = Sources(limitFields, key, node.Position);
            limitFields.Done(key);
            if (limit is not null)
            {
                limits.Add(new LimitRule(sources, limit, node.Position));
            }
            else if (!limitFields.Has("at-most"))
            {
                problems.Error(node.Position, $"{key} needs at-most");
            }
        }
    }
}
