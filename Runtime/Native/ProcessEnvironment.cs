using System.Collections;

namespace Holdfast.Runtime.Native;

/// <summary>The environment of this process.</summary>
internal static class ProcessEnvironment
{
    /// <summary>As NAME=VALUE, complete.</summary>
    public static IReadOnlyList<string> All() =>
        [.. Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(e => $"{e.Key}={e.Value}").Order(StringComparer.Ordinal)];
}
