namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>
/// What the program <c>steady</c> looks like when nothing disturbs it, and whether it still does: the same processes and threads,
/// none stopped or traced, the same blocked signals, no copy of any process, and work that goes on in all of them.
/// </summary>
internal sealed class HealthCheck
{
    private const int Beats = 5;
    private readonly TestApplication _application;
    private Dictionary<int, string> _expected;

    public HealthCheck(TestApplication application)
    {
        _application = application;
        _expected = Shape();
        Assert.Equal(Beats, application.Processes().Count);
    }

    /// <summary>After a restore the host's pids are others, while what the application sees is the same.</summary>
    public void Renew() => _expected = Shape();

    /// <summary>Waits until a restore that was cut off has left either nothing, or the whole application at work, which is then what is expected.</summary>
    /// <returns>Whether it is at work.</returns>
    public bool RenewIfRestored(string occasion)
    {
        // Those of an earlier life may be larger.
        var before = ReadBeats();
        Until.Required(
            () => _application.Supervisors().Count == 0 && (_application.Processes().Count == 0 || ReadBeats().Zip(before).All(pair => pair.First != pair.Second)),
            () => $"{occasion}: a half-built application is left: {_application.Describe()}");
        // One that its builder had let go, and not yet kept, runs for a moment and ends with it.
        Until.Required(() => _application.Processes().Count is 0 or Beats, () => $"{occasion}: a part of the application is left: {_application.Describe()}");
        if (_application.Processes().Count == 0)
        {
            return false;
        }

        Assert.Equal(Beats, _application.Processes().Count);
        Renew();
        return true;
    }

    /// <summary>How long the application may stand still or show a copy after its supervisor died: the init's watchdog must have acted by then.</summary>
    public static TimeSpan Bound => TimeSpan.FromSeconds(60);

    public void Require(string occasion)
    {
        // A copy made for the checkpoint ends by itself when its tracer is dead, a freeze at the watchdog's deadline: within the bound.
        Until.Required(
            () => Shape() is var now && now.Count == _expected.Count && now.All(pair => _expected.TryGetValue(pair.Key, out var was) && was == pair.Value),
            () => $"{occasion}: the application does not look as before. Expected {Text(_expected)}; found {Text(Shape())}; result \"{_application.Work.Result}\"",
            Bound);
        var before = ReadBeats();
        Until.Required(
            () => Advanced(before),
            () => $"{occasion}: some process stands still: beats {string.Join(' ', before)} -> {string.Join(' ', ReadBeats())}; result \"{_application.Work.Result}\"; {_application.Describe()}",
            Bound);
        Assert.Null(_application.Work.Result);
    }

    /// <summary>Per process: the blocked signals and tracers of its threads, and whether any is stopped. Running and sleeping come and go.</summary>
    private Dictionary<int, string> Shape() =>
        _application.Processes().ToDictionary(
            process => process.Pid,
            process => string.Join(' ', ProcessScan.Threads(process.Pid)
                .OrderBy(thread => thread.Tid)
                .Select(thread => $"{thread.Tid}:{thread.BlockedSignals}:{thread.TracerPid}:{(thread.State is 'T' or 't' or 'X' or 'Z' ? thread.State : '-')}")));

    private bool Advanced(long[] before) => ReadBeats().Zip(before).All(pair => pair.First > pair.Second);

    private long[] ReadBeats() =>
    [
        .. Enumerable.Range(0, Beats).Select(number =>
            long.TryParse(new FileInfo(_application.Work.In($"beat-{number}")).LinkTarget, out var beat) ? beat : -1),
    ];

    private static string Text(Dictionary<int, string> shape) => string.Join(" | ", shape.Select(pair => $"{pair.Key} {pair.Value}"));
}
