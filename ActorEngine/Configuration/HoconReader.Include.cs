using Akka.Configuration.Hocon;

namespace Akka.Configuration;

internal sealed partial class HoconReader
{
    private bool IsInclude() =>
        Looking("include") && _at + 7 < _text.Length && (char.IsWhiteSpace(_text[_at + 7]) || _text[_at + 7] == '"') && LooksAtResource(_at + 7);

    private bool LooksAtResource(int index)
    {
        while (index < _text.Length && _text[index] is ' ' or '\t')
        {
            index++;
        }

        return index < _text.Length && (_text[index] == '"' || LookingAt(index, "file(") || LookingAt(index, "required("));
    }

    private void ReadInclude(ObjectSyntax section)
    {
        var position = Here;
        _at += 7;
        SkipSpace();
        var open = 0;
        var required = false;
        foreach (var word in new[] { "required(", "file(" })
        {
            if (Looking(word))
            {
                _at += word.Length;
                open++;
                required |= word == "required(";
                SkipSpace();
            }
        }

        if (Current != '"')
        {
            throw Error("an include needs a name in quotes");
        }

        var name = ReadQuoted();
        for (; open > 0; open--)
        {
            SkipSpace();
            if (Current != ')')
            {
                throw Error("expected ')' after the name of an include");
            }

            _at++;
        }

        var syntax = Load(name, position, required);
        if (syntax is null)
        {
            return;
        }

        if (syntax is not ObjectSyntax included)
        {
            throw new ConfigurationException($"{position}: '{name}' holds a list; only sections can be included");
        }

        string[] prefix = [.. _prefix, .. _section];
        section.Merge(prefix.Length == 0 ? included : (ObjectSyntax)Relocate(included, prefix));
    }

    private Syntax? Load(string name, Position position, bool required)
    {
        HoconRoot? root;
        if (_include is null)
        {
            throw new ConfigurationException($"{position}: '{name}' cannot be included: no include callback was given");
        }

        try
        {
            root = _include(name);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException && !required)
        {
            return null;
        }

        if (root is null)
        {
            return required ? throw new ConfigurationException($"{position}: '{name}' is required and was not found") : null;
        }

        return root.Syntax;
    }

    // A substitution in an included text means a key of that text first, then one of the whole.
    private static Syntax Relocate(Syntax syntax, string[] prefix)
    {
        switch (syntax)
        {
            case SubstitutionSyntax substitution:
                return substitution with { Paths = [[.. prefix, .. substitution.Paths[0]], .. substitution.Paths] };
            case ConcatenationSyntax concatenation:
                return concatenation with { Parts = [.. concatenation.Parts.Select(part => Relocate(part, prefix))] };
            case ArraySyntax array:
                return array with { Items = [.. array.Items.Select(item => Relocate(item, prefix))] };
            case AppendSyntax append:
                return append with { Value = Relocate(append.Value, prefix) };
            case ObjectSyntax section:
                var moved = new ObjectSyntax(section.Position);
                foreach (var (key, field) in section.Fields)
                {
                    foreach (var value in field.Values)
                    {
                        moved.Field(key).Values.Add(Relocate(value, prefix));
                    }
                }

                return moved;
            default:
                return syntax;
        }
    }
}
