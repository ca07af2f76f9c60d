using System.Diagnostics;

namespace Holdfast.Runtime.Demo;

/// <summary>A <c>holdfast run</c> or <c>restore</c> in the foreground of the demo, which reads what the sample prints through it.</summary>
internal sealed class DemoProcess : IDisposable
{
    private readonly Process _process;

    public DemoProcess(ProcessStartInfo start)
    {
        _process = Process.Start(start)!;
        Output = DemoOutput.Of(_process.StandardOutput);
    }

    public DemoOutput Output { get; }

    /// <summary>The next line of what Holdfast says; null at the end.</summary>
    public async Task<string?> ErrorLineAsync() => await _process.StandardError.ReadLineAsync().ConfigureAwait(false);

    /// <summary>All that it says to its end.</summary>
    public Task<string> ErrorsAsync() => _process.StandardError.ReadToEndAsync();

    public void Dispose() => _process.Dispose();
}
