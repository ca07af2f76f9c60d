using System.Reflection;
using Akka.Configuration.Hocon;

namespace Akka.Configuration;

/// <summary>Makes configurations.</summary>
public class ConfigurationFactory
{
    /// <summary>No values.</summary>
    public static Config Empty => Config.Empty;

    /// <summary>The engine's own defaults.</summary>
    public static Config Default() => ReferenceConfig.Value;

    /// <summary>Reads a text without includes.</summary>
    /// <exception cref="ConfigurationException">The text is not HOCON; the message says where.</exception>
    public static Config ParseString(string hocon) => ParseString(hocon, null!);

    /// <summary>Reads a text; what it includes comes from the callback, which returns null for what is not there.</summary>
    /// <exception cref="ConfigurationException">The text is not HOCON; the message says where.</exception>
    public static Config ParseString(string hocon, Func<string, HoconRoot> includeCallback) => new(Parser.Parse(hocon, includeCallback));

    /// <summary>Reads a text that is embedded in an assembly.</summary>
    /// <exception cref="ConfigurationException">There is none, or it is not HOCON.</exception>
    public static Config FromResource(string resourceName, Assembly assembly)
    {
        using var stream = assembly.GetManifestResourceStream(resourceName) ?? throw new ConfigurationException($"{assembly.GetName().Name} holds no resource '{resourceName}'");
        using var reader = new StreamReader(stream);
        return new Config(new HoconRoot(HoconReader.Read(reader.ReadToEnd(), resourceName, null)));
    }

    /// <summary>Reads a text that is embedded in the assembly of a type.</summary>
    /// <exception cref="ConfigurationException">There is none, or it is not HOCON.</exception>
    public static Config FromResource<TAssembly>(string resourceName) => FromResource(resourceName, typeof(TAssembly).Assembly);
}
