using System.Globalization;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli;

/// <summary>Shows on a terminal how far a migration is: bytes, rate, and what remains of the snapshot on its way.</summary>
internal sealed class TransferProgress(Output output) : IProgress<MigrationProgress>
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private readonly Lock _gate = new();
    private readonly long _began = TimeProvider.System.GetTimestamp();
    private long _shown = TimeProvider.System.GetTimestamp();
    private int _step;
    private long _stepBegan;

    public void Report(MigrationProgress value)
    {
        if (!output.ShowsProgress)
        {
            return;
        }

        lock (_gate)
        {
            if (_step != value.Step)
            {
                _step = value.Step;
                _stepBegan = value.BytesSent;
            }

            if (TimeProvider.System.GetElapsedTime(_shown) < Interval)
            {
                return;
            }

            _shown = TimeProvider.System.GetTimestamp();
            double rate = value.BytesSent / Math.Max(0.001, TimeProvider.System.GetElapsedTime(_began).TotalSeconds);
            long left = Math.Max(0, value.BytesPlanned - (value.BytesSent - _stepBegan));
            output.Progress(string.Create(
                CultureInfo.InvariantCulture,
                $"{value.Snapshot.Address} ({value.Step} of {value.Steps}): {Output.Bytes(value.BytesSent)}, {Output.Bytes((long)rate)}/s, {left / Math.Max(1, rate):0} s left of this one"));
        }
    }
}
