using System.Collections;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.Runtime.Native;

/// <summary>The environment of this process.</summary>
internal static class ProcessEnvironment
{
    /// <summary>As NAME=VALUE, complete, but for what tells a supervisor where it is.</summary>
    public static IReadOnlyList<string> All() =>
        [.. Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Where(e => e.Key is not Authority.Variable).Select(e => $"{e.Key}={e.Value}").Order(StringComparer.Ordinal)];
}
