using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Supervision;

/// <summary>
/// Signals for an application that may not run yet: kept until it does, then passed on. Those that ask for an end call off a restore
/// that is under way; a launch is too short for that, and gets them afterwards.
/// </summary>
internal sealed class PendingSignals(CancellationTokenSource interrupted)
{
    private const int SIGHUP = 1;
    private const int SIGINT = 2;

    private readonly Lock _gate = new();
    private readonly List<int> _kept = [];
    private Action<int>? _passOn;

    public void Take(int signal)
    {
        lock (_gate)
        {
            if (_passOn is not null)
            {
                _passOn(signal);
                return;
            }

            _kept.Add(signal);
        }

        if (signal is SIGHUP or SIGINT or Libc.SIGTERM)
        {
            interrupted.Cancel();
        }
    }

    /// <summary>It runs: passes on what was kept, in order, and from now on everything at once.</summary>
    public void PassOn(Action<int> passOn)
    {
        lock (_gate)
        {
            _passOn = passOn;
            _kept.ForEach(passOn);
            _kept.Clear();
        }
    }
}
