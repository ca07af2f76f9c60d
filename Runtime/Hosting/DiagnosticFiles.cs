using System.Runtime.CompilerServices;

namespace Holdfast.Runtime.Hosting;

/// <summary>
/// .NET makes a socket and two pipes in the temporary directory for debuggers and removes them at an orderly end. A supervisor has to
/// reckon with SIGKILL, and must not leave three files behind each time: it does without them.
/// </summary>
internal static class DiagnosticFiles
{
    public static void Remove()
    {
        // Compiled ahead there are none.
        if (!RuntimeFeature.IsDynamicCodeCompiled)
        {
            return;
        }

        string[] patterns = [$"dotnet-diagnostic-{Environment.ProcessId}-*-socket", $"clr-debug-pipe-{Environment.ProcessId}-*"];
        try
        {
            foreach (string file in patterns.SelectMany(p => Directory.EnumerateFiles(Path.GetTempPath(), p)))
            {
                File.Delete(file);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // They are in nobody's way but that of tidiness.
        }
    }
}
