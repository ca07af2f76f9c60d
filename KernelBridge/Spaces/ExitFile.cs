using System.Globalization;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>The file into which the init writes the main process's exit status: its decimal digits and a newline, in one write.</summary>
internal static class ExitFile
{
    /// <summary>Its name in the application's state directory.</summary>
    public const string Name = "exit";

    /// <summary>Reads it.</summary>
    /// <returns>0–255, or null when there is none or it is not complete.</returns>
    public static int? Read(string path)
    {
        try
        {
            string text = File.ReadAllText(path);
            return text.EndsWith('\n') && byte.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out byte status)
                ? status
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
