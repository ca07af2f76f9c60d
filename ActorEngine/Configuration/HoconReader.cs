using System.Globalization;
using System.Text;
using Akka.Configuration.Hocon;

namespace Akka.Configuration;

/// <summary>Reads HOCON text into <see cref="ObjectSyntax"/>.</summary>
internal sealed partial class HoconReader
{
    private readonly string _text;
    private readonly string _source;
    private readonly Func<string, HoconRoot>? _include;
    private readonly string[] _prefix;
    private int _at;
    private string[] _section = [];

    private HoconReader(string text, string source, Func<string, HoconRoot>? include, string[] prefix)
    {
        _text = text;
        _source = source;
        _include = include;
        _prefix = prefix;
    }

    public static Syntax Read(string text, string source, Func<string, HoconRoot>? include)
    {
        var reader = new HoconReader(text, source, include, []);
        return reader.ReadRoot();
    }

    /// <summary>The keys of a dotted path, in which quotes protect dots.</summary>
    public static string[] SplitPath(string path)
    {
        if (SplitAtDots(path) is { } keys)
        {
            return keys;
        }

        var reader = new HoconReader(path, "path", null, []);
        var result = reader.ReadPath();
        return reader.AtEnd ? result : throw reader.Error($"'{path}' is not a path");
    }

    // Null for a path with quotes. By hand, for the reason given at LookingAt.
    private static string[]? SplitAtDots(string path)
    {
        var count = 1;
        foreach (var c in path)
        {
            if (c == '"')
            {
                return null;
            }

            count += c == '.' ? 1 : 0;
        }

        var parts = new string[count];
        var start = 0;
        for (var i = 0; i < parts.Length; i++)
        {
            var end = start;
            while (end < path.Length && path[end] != '.')
            {
                end++;
            }

            parts[i] = path[start..end];
            start = end + 1;
        }

        return parts;
    }

    private bool AtEnd => _at >= _text.Length;

    private char Current => _at < _text.Length ? _text[_at] : '\0';

    private Position Here => new(_source, _text, _at);

    private ConfigurationException Error(string what) => new($"{Here}: {what}");

    private bool Looking(string text) => LookingAt(_at, text);

    // By hand: the vectorised comparisons of the framework are compiled just in time, which the start of a system would wait for.
    private bool LookingAt(int index, string text)
    {
        if (index + text.Length > _text.Length)
        {
            return false;
        }

        for (var i = 0; i < text.Length; i++)
        {
            if (_text[index + i] != text[i])
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsForbidden(char c) =>
        c is '$' or '"' or '{' or '}' or '[' or ']' or ':' or '=' or ',' or '+' or '#' or '`' or '^' or '?' or '!' or '@' or '*' or '&' or '\\';

    private Syntax ReadRoot()
    {
        SkipBlank();
        Syntax root;
        if (Current == '[')
        {
            root = ReadArray();
        }
        else if (Current == '{')
        {
            root = ReadObject();
        }
        else
        {
            var section = new ObjectSyntax(Here);
            ReadFields(section, braces: false);
            root = section;
        }

        SkipBlank();
        return AtEnd ? root : throw Error($"unexpected '{Current}' after the end");
    }

    private ObjectSyntax ReadObject()
    {
        var section = new ObjectSyntax(Here);
        _at++;
        ReadFields(section, braces: true);
        return section;
    }

    private void ReadFields(ObjectSyntax section, bool braces)
    {
        while (true)
        {
            SkipBlank();
            if (AtEnd)
            {
                if (braces)
                {
                    throw new ConfigurationException($"{section.Position}: this '{{' is never closed");
                }

                return;
            }

            if (Current == '}')
            {
                if (!braces)
                {
                    throw Error("'}' without a '{'");
                }

                _at++;
                return;
            }

            if (IsInclude())
            {
                ReadInclude(section);
            }
            else
            {
                ReadField(section);
            }

            EndOfItem('}');
        }
    }

    private void ReadField(ObjectSyntax section)
    {
        var path = ReadPath();
        SkipSpace();
        var append = false;
        SkipBlank();
        if (Looking("+="))
        {
            append = true;
            _at += 2;
        }
        else if (Current is '=' or ':')
        {
            _at++;
        }
        else if (Current != '{')
        {
            throw Error($"expected '=', ':' or '{{' after the key '{string.Join('.', path)}'{(AtEnd ? " but the text ends" : $", not '{Current}'")}");
        }

        var outer = _section;
        _section = [.. outer, .. path];
        SkipBlank();
        var value = ReadValue();
        _section = outer;
        section.Assign(path, append ? new AppendSyntax(value.Position, value) : value);
    }

    // After an item: a comma, a line's end, or the end of what holds it.
    private void EndOfItem(char close)
    {
        SkipSpace();
        if (AtEnd || Current == close)
        {
            return;
        }

        if (Current == ',')
        {
            _at++;
            SkipBlank();
            if (Current == ',')
            {
                throw Error("two commas without a value between them");
            }

            return;
        }

        if (Current == '\n' || IsComment)
        {
            SkipBlank();
            if (Current == ',')
            {
                _at++;
            }

            return;
        }

        throw Error($"expected a comma or a new line, not '{Current}'");
    }

    private string[] ReadPath()
    {
        var keys = new List<string>();
        var key = new StringBuilder();
        var any = false;
        var start = _at;
        while (!AtEnd)
        {
            var c = Current;
            if (c == '"')
            {
                key.Append(ReadQuoted());
                any = true;
            }
            else if (c == '.')
            {
                if (!any && key.ToString().Trim().Length == 0)
                {
                    throw Error("a path with an empty key");
                }

                keys.Add(any ? key.ToString() : key.ToString().Trim());
                key.Clear();
                any = false;
                _at++;
                if (AtEnd)
                {
                    throw Error("a path that ends in a dot");
                }
            }
            else if (c is '\n' or '\r' || IsForbidden(c) || IsComment)
            {
                break;
            }
            else
            {
                key.Append(c);
                _at++;
            }
        }

        // Space around a key belongs to nobody; inside it belongs to the key.
        var last = key.ToString();
        var trimmed = any ? last.TrimEnd() : last.Trim();
        if (trimmed.Length == 0 && !any)
        {
            _at = keys.Count == 0 ? start : _at;
            throw Error(keys.Count == 0 ? $"expected a key{(AtEnd ? "" : $", not '{Current}'")}" : "a path with an empty key");
        }

        keys.Add(trimmed);
        return [.. keys];
    }

    private Syntax ReadValue()
    {
        var start = Here;
        var parts = new List<Syntax>();
        while (true)
        {
            var space = TakeSpace();
            var c = Current;
            if (AtEnd || c is ',' or '}' or ']' or '\n' or '\r' || IsComment)
            {
                break;
            }

            if (space.Length > 0 && parts.Count > 0)
            {
                parts.Add(new TextSyntax(Here, space, false, true));
            }

            parts.Add(c switch
            {
                '{' => ReadObject(),
                '[' => ReadArray(),
                '"' => new TextSyntax(Here, ReadQuoted(), true, false),
                '$' => ReadSubstitution(),
                _ => new TextSyntax(Here, ReadUnquoted(), false, false),
            });
        }

        return parts.Count switch
        {
            0 => throw new ConfigurationException($"{start}: a value is missing{(_section.Length > 0 ? $" for '{string.Join('.', _section)}'" : "")}"),
            1 => parts[0],
            _ => new ConcatenationSyntax(start, parts),
        };
    }

    private ArraySyntax ReadArray()
    {
        var array = new ArraySyntax(Here, []);
        _at++;
        while (true)
        {
            SkipBlank();
            if (AtEnd)
            {
                throw new ConfigurationException($"{array.Position}: this '[' is never closed");
            }

            if (Current == ']')
            {
                _at++;
                return array;
            }

            if (Current == ',')
            {
                throw Error("a comma without a value before it");
            }

            array.Items.Add(ReadValue());
            EndOfItem(']');
        }
    }

    private SubstitutionSyntax ReadSubstitution()
    {
        var start = Here;
        if (!Looking("${"))
        {
            throw Error("'$' must be followed by '{' or stand in quotes");
        }

        _at += 2;
        var optional = Current == '?';
        if (optional)
        {
            _at++;
        }

        SkipSpace();
        var path = ReadPath();
        if (Current != '}')
        {
            throw new ConfigurationException($"{start}: this '${{' is never closed");
        }

        _at++;
        return new SubstitutionSyntax(start, [path], optional);
    }

    private string ReadUnquoted()
    {
        var start = _at;
        while (!AtEnd && !char.IsWhiteSpace(Current) && !IsComment)
        {
            var c = Current;
            if (IsForbidden(c))
            {
                // Where no substitution, quote or bracket can begin, these are harmless in a value.
                if (c is '+' or '?' or '!' or '@' or '*' or '&' or '^' or ':' or '=' or '\\' or '`')
                {
                    _at++;
                    continue;
                }

                break;
            }

            _at++;
        }

        return _at > start ? _text[start.._at] : throw Error($"unexpected '{Current}'");
    }

    private string ReadQuoted()
    {
        var start = Here;
        if (Looking("\"\"\""))
        {
            _at += 3;
            var end = _text.IndexOf("\"\"\"", _at, StringComparison.Ordinal);
            if (end < 0)
            {
                throw new ConfigurationException($"{start}: this text in triple quotes is never closed");
            }

            // Quotes beyond the closing three belong to the text.
            while (end + 3 < _text.Length && _text[end + 3] == '"')
            {
                end++;
            }

            var raw = _text[_at..end];
            _at = end + 3;
            return raw;
        }

        _at++;
        var result = new StringBuilder();
        while (true)
        {
            if (AtEnd || Current == '\n')
            {
                throw new ConfigurationException($"{start}: this text in quotes is never closed");
            }

            var c = _text[_at++];
            if (c == '"')
            {
                return result.ToString();
            }

            result.Append(c == '\\' ? ReadEscape() : c);
        }
    }

    private char ReadEscape()
    {
        if (AtEnd)
        {
            throw Error("an escape without a character");
        }

        var c = _text[_at++];
        switch (c)
        {
            case '"' or '\\' or '/':
                return c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u' when _at + 4 <= _text.Length && ushort.TryParse(_text.AsSpan(_at, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var code):
                _at += 4;
                return (char)code;
            default:
                _at--;
                throw Error($"unknown escape '\\{c}'");
        }
    }

    private bool IsComment => Current == '#' || (Current == '/' && Looking("//"));

    private string TakeSpace()
    {
        var start = _at;
        while (!AtEnd && Current is not '\n' and not '\r' && char.IsWhiteSpace(Current))
        {
            _at++;
        }

        return _text[start.._at];
    }

    private void SkipSpace()
    {
        while (!AtEnd && Current != '\n' && (char.IsWhiteSpace(Current) || Current == '\uFEFF'))
        {
            _at++;
        }
    }

    private void SkipBlank()
    {
        while (!AtEnd)
        {
            if (char.IsWhiteSpace(Current) || Current == '\uFEFF')
            {
                _at++;
            }
            else if (IsComment)
            {
                while (!AtEnd && Current != '\n')
                {
                    _at++;
                }
            }
            else
            {
                return;
            }
        }
    }
}
