using Akka.Configuration.Hocon;

namespace Akka.Configuration;

/// <summary>A configuration: values by dotted paths. Immutable.</summary>
public class Config
{
    /// <summary>No values.</summary>
    public static readonly Config Empty = new();

    private readonly HoconObject _merged;

    /// <summary>No values.</summary>
    public Config()
    {
        _merged = new HoconObject();
        Root = HoconValue.Of(_merged);
        Fallback = null!;
    }

    /// <summary>The values of a text.</summary>
    /// <exception cref="ConfigurationException">The text holds a list, or a substitution finds nothing.</exception>
    public Config(HoconRoot root)
    {
        Root = root.Value;
        _merged = Root.GetObject() ?? (Root.IsEmpty ? new HoconObject() : throw new ConfigurationException("a configuration must be a section, not a list or text"));
        Fallback = null!;
    }

    /// <summary>The values of one, completed from another.</summary>
    public Config(Config source, Config? fallback)
    {
        Root = source.Root;
        Fallback = fallback!;
        _merged = fallback is null ? source._merged : HoconObject.Merged(source._merged, fallback._merged);
    }

    private Config(HoconObject section)
    {
        _merged = section;
        Root = HoconValue.Of(section);
        Fallback = null!;
    }

    /// <summary>The configuration that completes this one; null when there is none.</summary>
    public Config Fallback { get; }

    /// <summary>This one's own values.</summary>
    public HoconValue Root { get; }

    /// <summary>Whether there is no value.</summary>
    public virtual bool IsEmpty => _merged.Items.Count == 0;

    /// <summary>A configuration that is completed from another where it lacks values.</summary>
    public virtual Config WithFallback(Config fallback)
    {
        if (ReferenceEquals(fallback, this))
        {
            throw new ArgumentException("Config can not have itself as fallback", nameof(fallback));
        }

        return fallback is null || fallback.IsEmpty ? this : IsEmpty ? fallback : new Config(this, fallback);
    }

    /// <summary>Whether there is a value at a path; a null in the text is none.</summary>
    public virtual bool HasPath(string path) => Find(path) is { IsNull: false };

    /// <summary>The value at a path, or null.</summary>
    public HoconValue? GetValue(string path) => Find(path);

    /// <summary>The section at a path, or null when there is none.</summary>
    public virtual Config GetConfig(string path) => Find(path)?.GetObject() is { } section ? new Config(section) : null!;

    // Not one generic method: its instances for value types would be compiled just in time at every start.
    /// <summary>Text at a path.</summary>
    public virtual string GetString(string path, string? @default = null)
    {
        if (Present(path) is not { } value)
        {
            return @default!;
        }

        try
        {
            return value.GetString()!;
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A yes or no at a path.</summary>
    public virtual bool GetBoolean(string path, bool @default = false)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetBoolean();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A whole number at a path.</summary>
    public virtual int GetInt(string path, int @default = 0)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetInt();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A whole number at a path.</summary>
    public virtual long GetLong(string path, long @default = 0)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetLong();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A number at a path.</summary>
    public virtual double GetDouble(string path, double @default = 0)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetDouble();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A number at a path.</summary>
    public virtual float GetFloat(string path, float @default = 0)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetFloat();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A number at a path.</summary>
    public virtual decimal GetDecimal(string path, decimal @default = 0)
    {
        if (Present(path) is not { } value)
        {
            return @default;
        }

        try
        {
            return value.GetDecimal();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A size in bytes at a path; null when there is none.</summary>
    public virtual long? GetByteSize(string path) => GetByteSize(path, null);

    /// <summary>A size in bytes at a path.</summary>
    public virtual long? GetByteSize(string path, long? def = null)
    {
        if (Present(path) is not { } value)
        {
            return def;
        }

        try
        {
            return value.GetByteSize();
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A duration at a path; zero when there is none and no default.</summary>
    public virtual TimeSpan GetTimeSpan(string path, TimeSpan? @default = null, bool allowInfinite = true)
    {
        if (Present(path) is not { } value)
        {
            return @default ?? TimeSpan.Zero;
        }

        try
        {
            return value.GetTimeSpan(allowInfinite);
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    /// <summary>A list of texts at a path; empty when there is none.</summary>
    public virtual IList<string> GetStringList(string path) => ListAt<string>(path, [], static value => value.GetStringList());

    /// <summary>A list of texts at a path.</summary>
    public virtual IList<string> GetStringList(string path, string[] defaultPaths) => ListAt<string>(path, defaultPaths, static value => value.GetStringList());

    /// <summary>A list of whole numbers at a path; empty when there is none.</summary>
    public virtual IList<int> GetIntList(string path) => ListAt<int>(path, [], static value => value.GetIntList());

    /// <summary>A list of whole numbers at a path; empty when there is none.</summary>
    public virtual IList<long> GetLongList(string path) => ListAt<long>(path, [], static value => value.GetLongList());

    /// <summary>A list of numbers at a path; empty when there is none.</summary>
    public virtual IList<double> GetDoubleList(string path) => ListAt<double>(path, [], static value => value.GetDoubleList());

    /// <summary>A list of yes and no at a path; empty when there is none.</summary>
    public virtual IList<bool> GetBooleanList(string path) => ListAt<bool>(path, [], static value => value.GetBooleanList());

    /// <summary>The keys at the top with their values.</summary>
    public virtual IEnumerable<KeyValuePair<string, HoconValue>> AsEnumerable() => _merged.Items;

    /// <summary>Text that reads back as this one's own values.</summary>
    public override string ToString() => Root.ToString();

    /// <summary>Text that reads back as the values, also those of the fallback if so wished.</summary>
    public string ToString(bool includeFallback) => includeFallback ? _merged.ToString() : ToString();

    /// <summary>Reads a text.</summary>
    public static implicit operator Config(string str) => ConfigurationFactory.ParseString(str);

    private HoconValue? Present(string path) => Find(path) is { IsNull: false } value ? value : null;

    private static ConfigurationException At(string path, ConfigurationException e) => new($"{path}: {e.Message}", e);

    private IList<T> ListAt<T>(string path, IList<T> absent, Func<HoconValue, IList<T>> convert)
    {
        if (Present(path) is not { } value)
        {
            return absent;
        }

        try
        {
            return convert(value);
        }
        catch (ConfigurationException e)
        {
            throw At(path, e);
        }
    }

    private HoconValue? Find(string path)
    {
        var section = _merged;
        var keys = HoconReader.SplitPath(path);
        for (var i = 0; ; i++)
        {
            if (!section.Items.TryGetValue(keys[i], out var value) || i == keys.Length - 1)
            {
                return value;
            }

            if (value.GetObject() is not { } next)
            {
                return null;
            }

            section = next;
        }
    }
}

/// <summary>Short forms on <see cref="Config"/>.</summary>
public static class ConfigExtensions
{
    /// <summary>Whether there is nothing in it.</summary>
    public static bool IsNullOrEmpty(this Config? config) => config is null || config.IsEmpty;

    /// <summary>As <see cref="Config.WithFallback"/>, where either may be null.</summary>
    public static Config SafeWithFallback(this Config? config, Config fallback) => config is null ? fallback : fallback is null || ReferenceEquals(config, fallback) ? config : config.WithFallback(fallback);
}
