using System.ComponentModel;
using System.Diagnostics;

namespace Holdfast.Runtime.Native;

/// <summary>A program of an administrator that is run without input and may take only so long.</summary>
internal static class BoundedProcess
{
    /// <summary>Runs it. Past its time, and when it is called off, it is killed with all that it started.</summary>
    /// <param name="start">The program; its streams are redirected.</param>
    /// <param name="limit">What it may take.</param>
    /// <param name="said">Takes each line of its output and errors.</param>
    /// <param name="cancellation">Calls it off.</param>
    /// <returns>Its exit status; null when it took too long.</returns>
    /// <exception cref="Win32Exception">It cannot be run.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    public static async Task<int?> RunAsync(ProcessStartInfo start, TimeSpan limit, Action<string> said, CancellationToken cancellation)
    {
        start.RedirectStandardInput = start.RedirectStandardOutput = start.RedirectStandardError = true;
        using Process process = Process.Start(start) ?? throw new Win32Exception($"{start.FileName} cannot be run");
        using CancellationTokenSource bound = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        bound.CancelAfter(limit);
        try
        {
            process.StandardInput.Close();
            // Null is the end of one of the two streams.
            DataReceivedEventHandler line = (_, e) =>
            {
                if (e.Data is not null)
                {
                    said(e.Data);
                }
            };
            process.OutputDataReceived += line;
            process.ErrorDataReceived += line;
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            await process.WaitForExitAsync(bound.Token).ConfigureAwait(false);
            return process.ExitCode;
        }
        catch (OperationCanceledException)
        {
            process.Kill(true);
            cancellation.ThrowIfCancellationRequested();
            return null;
        }
    }
}
