using System.Text;

namespace Holdfast.Policies;

/// <summary>
/// Reads the part of HOCON that a policy needs: objects, arrays, strings, unquoted values, dotted and quoted keys,
/// comments, and objects with the same key merged. Substitutions (<c>${...}</c>), <c>+=</c> and <c>include</c> are refused:
/// a policy stands in one file, so that its line numbers mean something.
/// </summary>
public sealed class HoconReader
{
    private readonly string _file;
    private readonly string _text;
    private int _at;
    private int _line = 1;
    private int _lineStart;

    private HoconReader(string text, string file)
    {
        _text = text;
        _file = file;
    }

    /// <summary>Reads a whole text; the braces around it may be left out.</summary>
    /// <param name="text">The HOCON text.</param>
    /// <param name="file">The name to give in positions.</param>
    /// <exception cref="ConfigSyntaxException">The text is not HOCON, or uses a part of it that is refused.</exception>
    public static ConfigObject Read(string text, string file)
    {
        ArgumentNullException.ThrowIfNull(text);
        var reader = new HoconReader(text, file);
        reader.SkipBlank(newlines: true);
        ConfigObject root;
        if (reader.Peek() == '{')
        {
            root = reader.ReadObject();
            reader.SkipBlank(newlines: true);
        }
        else
        {
            root = reader.ReadFields(reader.Here(), closing: '\0');
        }

        return reader._at < text.Length ? throw reader.Error($"'{reader.Peek()}' where the text should end") : root;
    }

    private char Peek(int ahead = 0) => _at + ahead < _text.Length ? _text[_at + ahead] : '\0';

    private SourcePosition Here() => new(_file, _line, _at - _lineStart + 1);

    private ConfigSyntaxException Error(string what) => new(Here(), what);

    private void Advance()
    {
        if (_text[_at++] == '\n')
        {
            _line++;
            _lineStart = _at;
        }
    }

    private void SkipBlank(bool newlines)
    {
        while (_at < _text.Length)
        {
            var c = Peek();
            if (c == '#' || (c == '/' && Peek(1) == '/'))
            {
                while (_at < _text.Length && Peek() != '\n')
                {
                    _at++;
                }
            }
            else if ((c == '\n' && newlines) || (c != '\n' && (char.IsWhiteSpace(c) || c == '\uFEFF')))
            {
                Advance();
            }
            else
            {
                return;
            }
        }
    }

    private ConfigObject ReadObject()
    {
        var position = Here();
        Advance();
        var result = ReadFields(position, '}');
        if (Peek() != '}')
        {
            throw new ConfigSyntaxException(position, "the brace that opens here is never closed");
        }

        Advance();
        return result;
    }

    private ConfigObject ReadFields(SourcePosition position, char closing)
    {
        var result = new Builder(position);
        while (true)
        {
            SkipBlank(newlines: true);
            if (_at >= _text.Length || Peek() == closing)
            {
                return result.Build();
            }

            ReadField(result);
            SkipBlank(newlines: false);
            if (Peek() is ',' or '\n')
            {
                Advance();
            }
            else if (_at < _text.Length && Peek() != closing)
            {
                throw Error($"'{Peek()}' where a comma, a new line or the end of the object should be");
            }
        }
    }

    private void ReadField(Builder into)
    {
        var position = Here();
        var path = ReadKey();
        if (path is ["include"] && Peek() is '"' or 'f' or 'u')
        {
            throw new ConfigSyntaxException(position, "include is refused in a policy; write the rules in one file");
        }

        SkipBlank(newlines: false);
        if (Peek() == '+')
        {
            throw Error("+= is refused in a policy; write the whole list");
        }

        ConfigNode value;
        if (Peek() == '{')
        {
            value = ReadObject();
        }
        else if (Peek() is '=' or ':')
        {
            Advance();
            SkipBlank(newlines: true);
            value = ReadValue();
        }
        else
        {
            throw Error($"the key '{string.Join('.', path)}' has no value; write '=' or '{{' after it");
        }

        into.Put(path, 0, value, position);
    }

    private List<string> ReadKey()
    {
        var path = new List<string>();
        while (true)
        {
            if (Peek() == '"')
            {
                path.Add(ReadQuoted());
            }
            else
            {
                var start = _at;
                while (char.IsLetterOrDigit(Peek()) || Peek() is '-' or '_')
                {
                    _at++;
                }

                if (_at == start)
                {
                    throw Error(Peek() == '\0' ? "the text ends where a key should be" : $"'{Peek()}' where a key should be");
                }

                path.Add(_text[start.._at]);
            }

            SkipBlank(newlines: false);
            if (Peek() != '.')
            {
                return path;
            }

            Advance();
        }
    }

    private ConfigNode ReadValue()
    {
        switch (Peek())
        {
            case '{':
                return ReadObject();
            case '[':
                return ReadArray();
            case '"':
                var position = Here();
                return new ConfigScalar(ReadQuoted(), position);
            default:
                return ReadUnquoted();
        }
    }

    private ConfigArray ReadArray()
    {
        var position = Here();
        Advance();
        var items = new List<ConfigNode>();
        while (true)
        {
            SkipBlank(newlines: true);
            if (Peek() == ']')
            {
                Advance();
                return new ConfigArray(items, position);
            }

            if (_at >= _text.Length)
            {
                throw new ConfigSyntaxException(position, "the bracket that opens here is never closed");
            }

            items.Add(ReadValue());
            SkipBlank(newlines: true);
            if (Peek() == ',')
            {
                Advance();
            }
        }
    }

    private ConfigScalar ReadUnquoted()
    {
        var position = Here();
        var start = _at;
        while (_at < _text.Length && Peek() is not ('\n' or ',' or '}' or ']' or '#' or '{' or '[' or '"') && !(Peek() == '/' && Peek(1) == '/'))
        {
            if (Peek() == '$')
            {
                throw Error("substitutions are refused in a policy; write the value");
            }

            _at++;
        }

        var text = _text[start.._at].Trim();
        return text.Length == 0 ? throw new ConfigSyntaxException(position, "a value is missing") : new ConfigScalar(text, position);
    }

    private string ReadQuoted()
    {
        var opened = Here();
        if (Peek(1) == '"' && Peek(2) == '"')
        {
            throw Error("strings in three quotes are refused in a policy");
        }

        Advance();
        var text = new StringBuilder();
        while (true)
        {
            var c = Peek();
            if (c is '\0' or '\n')
            {
                throw new ConfigSyntaxException(opened, "the quote that opens here is never closed");
            }

            Advance();
            if (c == '"')
            {
                return text.ToString();
            }

            text.Append(c == '\\' ? ReadEscape() : c);
        }
    }

    private char ReadEscape()
    {
        var c = Peek();
        if (c == 'u' && _at + 4 < _text.Length && ushort.TryParse(_text.AsSpan(_at + 1, 4), System.Globalization.NumberStyles.AllowHexSpecifier, null, out var code))
        {
            _at += 5;
            return (char)code;
        }

        _at++;
        return c switch
        {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\b',
            'f' => '\f',
            '"' or '\\' or '/' => c,
            _ => throw Error($"'\\{c}' is not an escape"),
        };
    }

    private sealed class Builder(SourcePosition position)
    {
        private readonly List<string> _keys = [];
        private readonly Dictionary<string, (ConfigNode? Value, Builder? Object, SourcePosition Position)> _fields = [];

        public void Put(List<string> path, int depth, ConfigNode value, SourcePosition at)
        {
            var key = path[depth];
            if (!_fields.TryGetValue(key, out var existing))
            {
                _keys.Add(key);
            }

            if (depth < path.Count - 1 || value is ConfigObject)
            {
                // HOCON: an object after an object of the same key adds to it; after anything else it replaces it.
                var inner = existing.Object ?? new Builder(value.Position);
                if (depth < path.Count - 1)
                {
                    inner.Put(path, depth + 1, value, at);
                }
                else
                {
                    foreach (var field in ((ConfigObject)value).Fields)
                    {
                        inner.Put([field.Key], 0, field.Value, field.Position);
                    }
                }

                _fields[key] = (null, inner, existing.Object is null ? at : existing.Position);
            }
            else
            {
                _fields[key] = (value, null, at);
            }
        }

        public ConfigObject Build() =>
            new(_keys.ConvertAll(k => new ConfigField(k, _fields[k].Value ?? _fields[k].Object!.Build(), _fields[k].Position)), position);
    }
}
