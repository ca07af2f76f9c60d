using Akka.Configuration.Hocon;

namespace Akka.Configuration;

/// <summary>A place in a text. Line and column are counted only when somebody wants to see them.</summary>
internal readonly record struct Position(string Source, string Text, int Index)
{
    public override string ToString()
    {
        var line = 1;
        var start = 0;
        for (var i = 0; i < Index && i < Text.Length; i++)
        {
            if (Text[i] == '\n')
            {
                line++;
                start = i + 1;
            }
        }

        return $"{Source}:{line}:{Index - start + 1}";
    }
}

/// <summary>What was written, before substitutions are resolved.</summary>
internal abstract record Syntax(Position Position);

/// <summary>A simple value, or whitespace between two parts of a concatenation.</summary>
internal sealed record TextSyntax(Position Position, string Text, bool Quoted, bool Whitespace) : Syntax(Position);

/// <summary>A reference to another value. The paths are tried in order.</summary>
internal sealed record SubstitutionSyntax(Position Position, string[][] Paths, bool Optional) : Syntax(Position);

/// <summary>Values beside each other.</summary>
internal sealed record ConcatenationSyntax(Position Position, List<Syntax> Parts) : Syntax(Position);

/// <summary>A list.</summary>
internal sealed record ArraySyntax(Position Position, List<Syntax> Items) : Syntax(Position);

/// <summary>A value that is resolved already, from an included root.</summary>
internal sealed record ValueSyntax(Position Position, HoconValue Value) : Syntax(Position);

/// <summary>A value appended to what the key held, by +=.</summary>
internal sealed record AppendSyntax(Position Position, Syntax Value) : Syntax(Position);

/// <summary>A section: each key with all that was assigned to it, in order.</summary>
internal sealed record ObjectSyntax(Position Position) : Syntax(Position)
{
    public Dictionary<string, FieldSyntax> Fields { get; } = [];

    public void Assign(ReadOnlySpan<string> path, Syntax value)
    {
        var section = this;
        for (var i = 0; i < path.Length - 1; i++)
        {
            var field = section.Field(path[i]);
            if (field.Values.Count == 0 || field.Values[^1] is not ObjectSyntax next)
            {
                next = new ObjectSyntax(value.Position);
                field.Values.Add(next);
            }

            section = next;
        }

        section.Field(path[^1]).Add(value);
    }

    public FieldSyntax Field(string key)
    {
        if (!Fields.TryGetValue(key, out var field))
        {
            Fields[key] = field = new FieldSyntax();
        }

        return field;
    }

    public void Merge(ObjectSyntax later)
    {
        foreach (var (key, field) in later.Fields)
        {
            var mine = Field(key);
            foreach (var value in field.Values)
            {
                mine.Add(value);
            }
        }
    }
}

/// <summary>All that was assigned to one key.</summary>
internal sealed class FieldSyntax
{
    public List<Syntax> Values { get; } = [];

    /// <summary>The value that is being resolved, or -1; what refers to the key meanwhile gets what came before.</summary>
    public int Resolving { get; set; } = -1;

    public HoconValue? Resolved { get; set; }

    public bool IsResolved { get; set; }

    public void Add(Syntax value)
    {
        // Sections that follow each other are one section, so that a self-reference in the second finds the key of the first.
        if (value is ObjectSyntax section && Values.Count > 0 && Values[^1] is ObjectSyntax last)
        {
            last.Merge(section);
        }
        else
        {
            Values.Add(value);
        }
    }
}
