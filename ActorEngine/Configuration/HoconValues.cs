using System.Globalization;
using System.Text;

namespace Akka.Configuration.Hocon;

/// <summary>A value's content: text, list or section.</summary>
public interface IHoconElement
{
    /// <summary>Whether it is text.</summary>
    bool IsString();

    /// <summary>The text.</summary>
    string? GetString();

    /// <summary>Whether it is a list.</summary>
    bool IsArray();

    /// <summary>The list.</summary>
    IList<HoconValue> GetArray();
}

/// <summary>Something that may be a section.</summary>
public interface IMightBeAHoconObject
{
    /// <summary>Whether it is one.</summary>
    bool IsObject();

    /// <summary>The section.</summary>
    HoconObject? GetObject();
}

/// <summary>Text.</summary>
public class HoconLiteral : IHoconElement
{
    /// <summary>The text.</summary>
    public string? Value { get; set; }

    internal bool IsQuoted { get; set; }

    /// <inheritdoc/>
    public bool IsString() => true;

    /// <inheritdoc/>
    public string? GetString() => Value;

    /// <inheritdoc/>
    public bool IsArray() => false;

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always.</exception>
    public IList<HoconValue> GetArray() => throw new NotSupportedException("text is not a list");

    /// <inheritdoc/>
    public override string ToString() => Value ?? "null";
}

/// <summary>A list.</summary>
public class HoconArray : List<HoconValue>, IHoconElement
{
    /// <inheritdoc/>
    public bool IsString() => false;

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always.</exception>
    public string? GetString() => throw new NotSupportedException("a list is not text");

    /// <inheritdoc/>
    public bool IsArray() => true;

    /// <inheritdoc/>
    public IList<HoconValue> GetArray() => this;

    /// <inheritdoc/>
    public override string ToString() => "[" + string.Join(",", this) + "]";
}

/// <summary>A section.</summary>
public class HoconObject : IHoconElement
{
    /// <summary>The keys and their values.</summary>
    public Dictionary<string, HoconValue> Items { get; } = [];

    /// <summary>The value of a key, or null.</summary>
    public HoconValue? GetKey(string key) => Items.GetValueOrDefault(key);

    /// <inheritdoc/>
    public bool IsString() => false;

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always.</exception>
    public string? GetString() => throw new NotSupportedException("a section is not text");

    /// <inheritdoc/>
    public bool IsArray() => false;

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always.</exception>
    public IList<HoconValue> GetArray() => throw new NotSupportedException("a section is not a list");

    /// <summary>Text that reads back as this section.</summary>
    public override string ToString() => ToString(0);

    /// <summary>As <see cref="ToString()"/>, indented.</summary>
    public string ToString(int indent)
    {
        var pad = new string(' ', indent * 2);
        var text = new StringBuilder();
        foreach (var (key, value) in Items)
        {
            text.Append(pad).Append(HoconValue.Quote(key, isKey: true)).Append(value.IsObject() ? " " : " = ").Append(value.ToString(indent + 1)).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>A new section with the keys of both; where both have one, sections merge and otherwise the first wins.</summary>
    internal static HoconObject Merged(HoconObject first, HoconObject fallback)
    {
        var result = new HoconObject();
        foreach (var (key, value) in fallback.Items)
        {
            result.Items[key] = value;
        }

        foreach (var (key, value) in first.Items)
        {
            result.Items[key] = value.IsObject() && result.Items.TryGetValue(key, out var other) && other.IsObject()
                ? HoconValue.Of(Merged(value.GetObject()!, other.GetObject()!))
                : value;
        }

        return result;
    }
}

/// <summary>A value of a key: text, list or section, with the conversions.</summary>
public class HoconValue : IMightBeAHoconObject
{
    private readonly IHoconElement? _element;

    /// <summary>A value that holds nothing.</summary>
    public HoconValue()
    {
    }

    private HoconValue(IHoconElement element) => _element = element;

    internal static HoconValue Of(IHoconElement element) => new(element);

    /// <summary>Whether it holds nothing.</summary>
    public bool IsEmpty => _element is null or HoconObject { Items.Count: 0 };

    internal bool IsNumericallyIndexed => _element is HoconObject section && section.Items.Count > 0 && section.Items.Keys.Any(key => int.TryParse(key, out _));

    internal bool IsNull => _element is HoconLiteral { IsQuoted: false, Value: "null" };

    /// <summary>Whether it is text.</summary>
    public bool IsString() => _element is HoconLiteral;

    /// <summary>Whether it is a list.</summary>
    public bool IsArray() => _element is HoconArray;

    /// <inheritdoc/>
    public bool IsObject() => _element is HoconObject;

    /// <inheritdoc/>
    public HoconObject? GetObject() => _element as HoconObject;

    /// <summary>The value of a key of a section, or null.</summary>
    public HoconValue? GetChildObject(string key) => (_element as HoconObject)?.GetKey(key);

    /// <summary>The list. A section whose keys are numbers counts as one, in their order.</summary>
    /// <exception cref="ConfigurationException">It is neither.</exception>
    public IList<HoconValue> GetArray()
    {
        if (_element is HoconArray array)
        {
            return array;
        }

        if (IsNumericallyIndexed)
        {
            return [.. from item in ((HoconObject)_element!).Items
                       let number = int.TryParse(item.Key, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? index : -1
                       where number >= 0
                       orderby number
                       select item.Value];
        }

        throw new ConfigurationException($"'{ToString()}' is not a list");
    }

    /// <summary>The text; null when it holds nothing.</summary>
    /// <exception cref="ConfigurationException">It is a list or a section.</exception>
    public string? GetString() => _element switch
    {
        null => null,
        HoconLiteral { IsQuoted: false, Value: "null" } => null,
        HoconLiteral literal => literal.Value,
        _ => throw new ConfigurationException($"'{ToString()}' is not text"),
    };

    /// <summary>on, true, yes; off, false, no.</summary>
    /// <exception cref="ConfigurationException">It is none of these.</exception>
    public bool GetBoolean() => GetString() switch
    {
        "on" or "true" or "yes" => true,
        "off" or "false" or "no" or null => false,
        { } other => throw new ConfigurationException($"'{other}' is neither on, true or yes nor off, false or no"),
    };

    /// <summary>A whole number.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public int GetInt() => TryReadDigits(Trimmed, out var digits) ? (int)digits : int.TryParse(Trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw NoNumber("int");

    /// <summary>A whole number.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public long GetLong() => long.TryParse(Trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw NoNumber("long");

    /// <summary>A number.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public double GetDouble() => double.TryParse(Trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw NoNumber("double");

    /// <summary>A number.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public float GetFloat() => float.TryParse(Trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw NoNumber("float");

    /// <summary>A number.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public decimal GetDecimal() => decimal.TryParse(Trimmed, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw NoNumber("decimal");

    /// <summary>A list of texts.</summary>
    public IList<string> GetStringList()
    {
        var items = GetArray();
        var texts = new string[items.Count];
        for (var i = 0; i < texts.Length; i++)
        {
            texts[i] = items[i].GetString();
        }

        return texts;
    }

    /// <summary>A list of whole numbers.</summary>
    public IList<int> GetIntList() => [.. from item in GetArray() select item.GetInt()];

    /// <summary>A list of whole numbers.</summary>
    public IList<long> GetLongList() => [.. from item in GetArray() select item.GetLong()];

    /// <summary>A list of numbers.</summary>
    public IList<double> GetDoubleList() => [.. from item in GetArray() select item.GetDouble()];

    /// <summary>A list of yes and no.</summary>
    public IList<bool> GetBooleanList() => [.. from item in GetArray() select item.GetBoolean()];

    /// <summary>A duration: a number with a unit from ns to d, milliseconds without one, or <c>infinite</c>.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public TimeSpan GetTimeSpan(bool allowInfinite = true)
    {
        var text = GetString()?.Trim() ?? "";
        if (allowInfinite && text.Equals("infinite", StringComparison.OrdinalIgnoreCase))
        {
            return Timeout.InfiniteTimeSpan;
        }

        if (SplitUnit(text) is not { } parts || !(TryReadDigits(parts.Number, out var amount) || double.TryParse(parts.Number, NumberStyles.Float, CultureInfo.InvariantCulture, out amount)))
        {
            throw new ConfigurationException($"'{text}' is not a duration such as 10s or 250 ms");
        }

        if (amount < 0)
        {
            throw new ConfigurationException($"'{text}' is negative; expected a positive duration");
        }

        var ticks = parts.Unit switch
        {
            "" or "ms" or "milli" or "millis" or "millisecond" or "milliseconds" => TimeSpan.TicksPerMillisecond,
            "s" or "second" or "seconds" => TimeSpan.TicksPerSecond,
            "m" or "minute" or "minutes" => TimeSpan.TicksPerMinute,
            "h" or "hour" or "hours" => TimeSpan.TicksPerHour,
            "d" or "day" or "days" => TimeSpan.TicksPerDay,
            "us" or "micro" or "micros" or "microsecond" or "microseconds" => TimeSpan.TicksPerMicrosecond,
            "ns" or "nano" or "nanos" or "nanosecond" or "nanoseconds" => 1.0 / TimeSpan.NanosecondsPerTick,
            var unit => throw new ConfigurationException($"'{unit}' is not a unit of time: ns, us, ms, s, m, h or d"),
        };
        return TimeSpan.FromTicks((long)(amount * ticks));
    }

    // What durations nearly always are. A start reads a dozen of them, and the general parser costs it a millisecond.
    // The usual form, without the tables of cultures that a start would otherwise wait for.
    private static bool TryReadDigits(string text, out double amount)
    {
        amount = 0;
        if (text.Length is 0 or > 9)
        {
            return false;
        }

        foreach (var c in text)
        {
            if (!char.IsAsciiDigit(c))
            {
                return false;
            }

            amount = (amount * 10) + (c - '0');
        }

        return true;
    }

    /// <summary>A size in bytes: a number with a unit (kB is 1000, K, Ki and KiB are 1024, and so on), bytes without one. Null when it holds nothing.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public long? GetByteSize()
    {
        var text = GetString()?.Trim();
        if (text is null)
        {
            return null;
        }

        if (SplitUnit(text) is not { } parts || !decimal.TryParse(parts.Number, NumberStyles.Float, CultureInfo.InvariantCulture, out var amount))
        {
            throw new ConfigurationException($"'{text}' is not a size such as 64 KiB or 10 MB");
        }

        decimal factor = parts.Unit switch
        {
            "" or "B" or "b" or "byte" or "bytes" => 1,
            "kB" or "KB" or "kilobyte" or "kilobytes" => 1000,
            "K" or "k" or "Ki" or "KiB" or "kibibyte" or "kibibytes" => 1L << 10,
            "MB" or "megabyte" or "megabytes" => 1_000_000,
            "M" or "m" or "Mi" or "MiB" or "mebibyte" or "mebibytes" => 1L << 20,
            "GB" or "gigabyte" or "gigabytes" => 1_000_000_000,
            "G" or "g" or "Gi" or "GiB" or "gibibyte" or "gibibytes" => 1L << 30,
            "TB" or "terabyte" or "terabytes" => 1_000_000_000_000,
            "T" or "t" or "Ti" or "TiB" or "tebibyte" or "tebibytes" => 1L << 40,
            "PB" or "petabyte" or "petabytes" => 1_000_000_000_000_000,
            "P" or "p" or "Pi" or "PiB" or "pebibyte" or "pebibytes" => 1L << 50,
            "EB" or "exabyte" or "exabytes" => 1_000_000_000_000_000_000,
            "E" or "e" or "Ei" or "EiB" or "exbibyte" or "exbibytes" => 1L << 60,
            var unit => throw new ConfigurationException($"'{unit}' is not a unit of size"),
        };
        return (long)(amount * factor);
    }

    /// <summary>Text that reads back as this value.</summary>
    public override string ToString() => ToString(0);

    /// <summary>As <see cref="ToString()"/>, indented.</summary>
    public virtual string ToString(int indent) => _element switch
    {
        null => "null",
        HoconLiteral { IsQuoted: false, Value: { } text } => text,
        HoconLiteral literal => Quote(literal.Value ?? "", isKey: false),
        HoconArray array => "[" + string.Join(", ", array.Select(item => item.ToString(indent))) + "]",
        HoconObject section => indent == 0 ? section.ToString(0) : "{\n" + section.ToString(indent) + new string(' ', (indent - 1) * 2) + "}",
        _ => "",
    };

    internal static string Quote(string text, bool isKey)
    {
        if (isKey && text.Length > 0 && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
        {
            return text;
        }

        var result = new StringBuilder("\"");
        foreach (var c in text)
        {
            result.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                < ' ' => "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture),
                _ => c.ToString(),
            });
        }

        return result.Append('"').ToString();
    }

    private string? Trimmed => GetString()?.Trim();

    private ConfigurationException NoNumber(string kind) => new($"'{Trimmed}' is not a number of the kind {kind}");

    // A number and the letters after it; null when the text is something else.
    private static (string Number, string Unit)? SplitUnit(string text)
    {
        var end = text.Length;
        while (end > 0 && char.IsAsciiLetter(text[end - 1]))
        {
            end--;
        }

        var number = text[..end].Trim();
        var digits = false;
        for (var i = 0; i < number.Length; i++)
        {
            var c = number[i];
            if (char.IsAsciiDigit(c))
            {
                digits = true;
            }
            else if (c != '.' && (i > 0 || c is not '+' and not '-'))
            {
                return null;
            }
        }

        return digits ? (number, text[end..]) : null;
    }
}

/// <summary>What a text holds as a whole.</summary>
public class HoconRoot
{
    private HoconValue? _value;

    internal HoconRoot(Syntax syntax) => Syntax = syntax;

    /// <summary>Holds a value.</summary>
    public HoconRoot(HoconValue value)
    {
        _value = value;
        Syntax = ToSyntax(value);
    }

    internal Syntax Syntax { get; }

    /// <summary>The value, with its substitutions resolved.</summary>
    /// <exception cref="ConfigurationException">A substitution finds nothing.</exception>
    public HoconValue Value => _value ??= HoconResolver.Resolve(Syntax);

    private static Syntax ToSyntax(HoconValue value)
    {
        var nowhere = new Position("value", "", 0);
        if (!value.IsObject())
        {
            return new ValueSyntax(nowhere, value);
        }

        var section = new ObjectSyntax(nowhere);
        foreach (var (key, item) in value.GetObject()!.Items)
        {
            section.Field(key).Values.Add(ToSyntax(item));
        }

        return section;
    }
}

/// <summary>Reads text.</summary>
public class Parser
{
    /// <summary>Reads a text; what it includes comes from <paramref name="includeCallback"/>. Substitutions are resolved when the value is first used.</summary>
    /// <exception cref="ConfigurationException">The text is not HOCON; the message says where.</exception>
    public static HoconRoot Parse(string text, Func<string, HoconRoot>? includeCallback) => new(HoconReader.Read(text, "text", includeCallback));
}
