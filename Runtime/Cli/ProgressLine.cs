using System.Globalization;

namespace Holdfast.Runtime.Cli;

/// <summary>Shows on a terminal how far long work is: the phase, what passed, and at what rate.</summary>
internal sealed class ProgressLine(Output output)
{
    /// <summary>What is over before needs no progress.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);

    private readonly long _began = TimeProvider.System.GetTimestamp();

    public void Show(string phase, long bytes)
    {
        TimeSpan elapsed = TimeProvider.System.GetElapsedTime(_began);
        if (!output.ShowsProgress || elapsed < Patience)
        {
            return;
        }

        string rate = bytes > 0 ? $", {Output.Bytes(bytes)}, {Output.Bytes((long)(bytes / elapsed.TotalSeconds))}/s" : "";
        output.Progress(string.Create(CultureInfo.InvariantCulture, $"{phase.ToLowerInvariant()}: {elapsed.TotalSeconds:0.0} s{rate}"));
    }
}
