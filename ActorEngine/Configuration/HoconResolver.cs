using Akka.Configuration.Hocon;

namespace Akka.Configuration;

/// <summary>Resolves substitutions, concatenations and repeated keys of a whole text.</summary>
internal sealed class HoconResolver
{
    private readonly ObjectSyntax? _root;
    private readonly Syntax _syntax;

    private HoconResolver(Syntax syntax)
    {
        _syntax = syntax;
        _root = syntax as ObjectSyntax;
    }

    public static HoconValue Resolve(Syntax syntax) =>
        syntax is ValueSyntax value ? value.Value : new HoconResolver(syntax).Evaluate(syntax) ?? HoconValue.Of(new HoconObject());

    // Null is a value that is not there: an optional substitution that found nothing.
    private HoconValue? Evaluate(Syntax syntax)
    {
        switch (syntax)
        {
            case ValueSyntax value:
                return value.Value;
            case TextSyntax text:
                return HoconValue.Of(new HoconLiteral { Value = text.Text, IsQuoted = text.Quoted });
            case ArraySyntax array:
                var list = new HoconArray();
                foreach (var item in array.Items)
                {
                    if (Evaluate(item) is { } element)
                    {
                        list.Add(element);
                    }
                }

                return HoconValue.Of(list);
            case ObjectSyntax section:
                var result = new HoconObject();
                foreach (var (key, field) in section.Fields)
                {
                    if (Evaluate(field) is { } element)
                    {
                        result.Items[key] = element;
                    }
                }

                return HoconValue.Of(result);
            case SubstitutionSyntax substitution:
                return Substitute(substitution);
            case ConcatenationSyntax concatenation:
                return Concatenate(concatenation);
            default:
                throw new ConfigurationException($"{syntax.Position}: unknown syntax");
        }
    }

    private HoconValue? Evaluate(FieldSyntax field)
    {
        if (!field.IsResolved)
        {
            field.Resolved = Fold(field, field.Values.Count);
            field.IsResolved = true;
        }

        return field.Resolved;
    }

    // What the first values of a key amount to.
    private HoconValue? Fold(FieldSyntax field, int count)
    {
        var outer = field.Resolving;
        HoconValue? result = null;
        for (var i = 0; i < count; i++)
        {
            field.Resolving = i;
            var value = field.Values[i];
            if (value is AppendSyntax append)
            {
                result = Append(result, append);
            }
            else if (Evaluate(value) is { } next)
            {
                result = result is not null && result.IsObject() && next.IsObject() ? HoconValue.Of(HoconObject.Merged(next.GetObject()!, result.GetObject()!)) : next;
            }
        }

        field.Resolving = outer;
        return result;
    }

    private HoconValue Append(HoconValue? before, AppendSyntax append)
    {
        var list = new HoconArray();
        if (before is not null)
        {
            if (!before.IsArray() && !before.IsNumericallyIndexed)
            {
                throw new ConfigurationException($"{append.Position}: += needs a list, and the key holds something else");
            }

            list.AddRange(before.GetArray());
        }

        if (Evaluate(append.Value) is { } value)
        {
            list.Add(value);
        }

        return HoconValue.Of(list);
    }

    private HoconValue? Substitute(SubstitutionSyntax substitution)
    {
        foreach (var path in substitution.Paths)
        {
            if (_root is not null && Find(_root, path, 0, substitution) is { } value)
            {
                return value;
            }
        }

        // A variable of the environment is the last resort, by the whole path.
        var name = string.Join('.', substitution.Paths[^1]);
        if (Environment.GetEnvironmentVariable(name) is { } variable)
        {
            return HoconValue.Of(new HoconLiteral { Value = variable, IsQuoted = true });
        }

        return substitution.Optional ? null : throw new ConfigurationException($"{substitution.Position}: nothing is found for ${{{name}}}");
    }

    private HoconValue? Find(ObjectSyntax section, string[] path, int index, SubstitutionSyntax substitution)
    {
        if (!section.Fields.TryGetValue(path[index], out var field))
        {
            return null;
        }

        var last = index == path.Length - 1;
        if (field.Resolving >= 0 && !field.IsResolved)
        {
            // Inside the section that is being resolved, its other keys may be used.
            if (!last && field.Values[field.Resolving] is ObjectSyntax inner && Find(inner, path, index + 1, substitution) is { } found)
            {
                return found;
            }

            if (field.Resolving == 0)
            {
                return substitution.Optional || !last
                    ? null
                    : throw new ConfigurationException($"{substitution.Position}: ${{{string.Join('.', path)}}} refers to itself");
            }

            var before = Fold(field, field.Resolving);
            return last ? before : Pick(before, path, index + 1);
        }

        if (last)
        {
            return Evaluate(field);
        }

        return field.Values.Count == 1 && field.Values[0] is ObjectSyntax only ? Find(only, path, index + 1, substitution) : Pick(Evaluate(field), path, index + 1);
    }

    private static HoconValue? Pick(HoconValue? value, string[] path, int index)
    {
        for (; index < path.Length && value is not null; index++)
        {
            value = value.GetChildObject(path[index]);
        }

        return value;
    }

    private HoconValue? Concatenate(ConcatenationSyntax concatenation)
    {
        HoconValue? result = null;
        var text = new global::System.Text.StringBuilder();
        var isText = false;
        var space = "";
        foreach (var part in concatenation.Parts)
        {
            if (part is TextSyntax { Whitespace: true } blank)
            {
                space = blank.Text;
                continue;
            }

            var value = Evaluate(part);
            if (value is null)
            {
                continue;
            }

            if (value.IsObject())
            {
                if (isText || (result is not null && !result.IsObject()))
                {
                    throw new ConfigurationException($"{part.Position}: a section cannot follow something else in one value");
                }

                result = result is null ? value : HoconValue.Of(HoconObject.Merged(value.GetObject()!, result.GetObject()!));
            }
            else if (value.IsArray())
            {
                if (isText || (result is not null && !result.IsArray() && !result.IsNumericallyIndexed))
                {
                    throw new ConfigurationException($"{part.Position}: a list cannot follow something else in one value");
                }

                var list = new HoconArray();
                list.AddRange(result?.GetArray() ?? []);
                list.AddRange(value.GetArray());
                result = HoconValue.Of(list);
            }
            else
            {
                if (result is not null)
                {
                    throw new ConfigurationException($"{part.Position}: text cannot follow a list or a section in one value");
                }

                if (isText)
                {
                    text.Append(space);
                }

                text.Append(value.GetString());
                isText = true;
            }

            space = "";
        }

        return isText ? HoconValue.Of(new HoconLiteral { Value = text.ToString(), IsQuoted = true }) : result;
    }
}
