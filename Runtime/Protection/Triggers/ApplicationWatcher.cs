using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Protection.Triggers;

/// <summary>Reads a value of a running application, from its control group where it has one, else from procfs.</summary>
internal abstract class ApplicationWatcher(Func<ApplicationRecord?> record) : ITriggerWatcher
{
    /// <summary>The application; an error that is shown while it cannot be told where it runs.</summary>
    protected ApplicationRecord Record => record() ?? throw new InvalidOperationException("the application does not run yet");

    public Task<TriggerObservation> ObserveAsync() => Task.FromResult(Observe());

    public virtual void PointTaken()
    {
    }

    public void Dispose()
    {
    }

    protected abstract TriggerObservation Observe();

    /// <summary>A file of the application's control group, or null when there is none.</summary>
    protected string? Cgroup(string file)
    {
        if (Record.Target.CgroupPath is not { } directory)
        {
            return null;
        }

        string path = Path.Combine(directory, file);
        return File.Exists(path) ? File.ReadAllText(path) : null;
    }

    /// <summary>The number after a key of a file of lines such as <c>usage_usec 123</c>.</summary>
    protected static long? Field(string? text, string key)
    {
        foreach (string line in (text ?? "").Split('\n'))
        {
            if (line.StartsWith(key + " ", StringComparison.Ordinal))
            {
                return long.Parse(line.AsSpan(key.Length + 1), CultureInfo.InvariantCulture);
            }
        }

        return null;
    }
}

/// <summary>A value that is the growth of a counter over time.</summary>
internal abstract class RateWatcher(Func<ApplicationRecord?> record) : ApplicationWatcher(record)
{
    private (double Counter, long At)? _before;

    protected override TriggerObservation Observe()
    {
        double counter = Counter();
        long at = TimeProvider.System.GetTimestamp();
        (double Counter, long At)? before = _before;
        _before = (counter, at);
        double seconds = before is { } b ? TimeProvider.System.GetElapsedTime(b.At, at).TotalSeconds : 0;
        // The first look has nothing to compare with; a counter that fell belongs to another life of the application.
        return seconds <= 0 || counter < before!.Value.Counter
            ? TriggerObservation.Nothing
            : TriggerObservation.Of(Value((counter - before.Value.Counter) / seconds));
    }

    protected abstract double Counter();

    protected virtual double Value(double perSecond) => perSecond;
}
