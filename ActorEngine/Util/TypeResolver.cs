using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Akka.Configuration;

namespace Akka.Util;

/// <summary>
/// Makes the objects that a configuration names by type. What the engine itself offers is in a table, so that a start looks nothing up by name;
/// a name without such an entry is looked up among the loaded assemblies, by which the engine is also found under the original's assembly names.
/// </summary>
internal static class TypeResolver
{
    private static readonly ConcurrentDictionary<string, Type> Known = new();

    /// <summary>The name of a type without that of its assembly. By hand: String.Split is compiled just in time, which a start would wait for.</summary>
    public static string BareName(string name)
    {
        var end = 0;
        while (end < name.Length && name[end] != ',')
        {
            end++;
        }

        return name[..end].Trim();
    }

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "A type that is named in the configuration only is kept by who names it.")]
    [UnconditionalSuppressMessage("Trimming", "IL2057", Justification = "A type that is named in the configuration only is kept by who names it.")]
    public static Type Resolve(string name, string path)
    {
        if (Known.TryGetValue(name, out var known))
        {
            return known;
        }

        var type = Type.GetType(name, throwOnError: false);
        if (type is null)
        {
            var bare = BareName(name);
            type = AppDomain.CurrentDomain.GetAssemblies().Select(assembly => assembly.GetType(bare, throwOnError: false)).FirstOrDefault(found => found is not null);
        }

        return Known[name] = type ?? throw new ConfigurationException($"{path}: there is no type '{name}'");
    }

    [UnconditionalSuppressMessage("Trimming", "IL2072", Justification = "A type that is named in the configuration only is kept by who names it.")]
    public static T Create<T>(string name, string path, params object?[] arguments)
        where T : class
    {
        var type = Resolve(name, path);
        try
        {
            return Activator.CreateInstance(type, arguments) as T ?? throw new ConfigurationException($"{path}: {type} is no {typeof(T).Name}");
        }
        catch (MissingMethodException e)
        {
            throw new ConfigurationException($"{path}: {type} has no public constructor for ({string.Join(", ", arguments.Select(argument => argument?.GetType().Name))})", e);
        }
    }
}
