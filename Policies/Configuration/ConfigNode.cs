namespace Holdfast.Policies;

/// <summary>Where a piece of configuration was written.</summary>
/// <param name="File">The name of the file as the reader was given it.</param>
/// <param name="Line">The line, from 1; 0 when the piece was not read from a text.</param>
/// <param name="Column">The column, from 1.</param>
public readonly record struct SourcePosition(string File, int Line, int Column)
{
    /// <summary>The position of what was built in code.</summary>
    public static SourcePosition None { get; } = new("(built in code)", 0, 0);

    /// <inheritdoc/>
    public override string ToString() => Line == 0 ? File : $"{File}:{Line}";
}

/// <summary>
/// A parsed piece of configuration that knows where it stands. Whoever has another parser builds this tree;
/// <see cref="HoconReader"/> builds it from HOCON text.
/// </summary>
/// <param name="Position">Where it was written.</param>
public abstract record ConfigNode(SourcePosition Position);

/// <summary>A value: a string, a number, a duration, as text.</summary>
/// <param name="Text">The text without its quotes.</param>
/// <param name="Position">Where it was written.</param>
public sealed record ConfigScalar(string Text, SourcePosition Position) : ConfigNode(Position);

/// <summary>A list of values.</summary>
/// <param name="Items">The elements in order.</param>
/// <param name="Position">Where it was written.</param>
public sealed record ConfigArray(IReadOnlyList<ConfigNode> Items, SourcePosition Position) : ConfigNode(Position);

/// <summary>Keys with values, in the order in which they were first written.</summary>
/// <param name="Fields">The keys, unquoted, with their values.</param>
/// <param name="Position">Where it was written.</param>
public sealed record ConfigObject(IReadOnlyList<ConfigField> Fields, SourcePosition Position) : ConfigNode(Position)
{
    /// <summary>The value of a key, or null.</summary>
    public ConfigNode? this[string key]
    {
        get
        {
            foreach (var field in Fields)
            {
                if (field.Key == key)
                {
                    return field.Value;
                }
            }

            return null;
        }
    }
}

/// <summary>One key with its value.</summary>
/// <param name="Key">The key, unquoted.</param>
/// <param name="Value">The value.</param>
/// <param name="Position">Where the key was written.</param>
public sealed record ConfigField(string Key, ConfigNode Value, SourcePosition Position);

/// <summary>Text that is not configuration: where, what, and what to do.</summary>
public sealed class ConfigSyntaxException(SourcePosition position, string what) : FormatException($"{position}: {what}")
{
    /// <summary>Where reading stopped.</summary>
    public SourcePosition Position { get; } = position;

    /// <summary>What is wrong, without the position.</summary>
    public string What { get; } = what;
}
