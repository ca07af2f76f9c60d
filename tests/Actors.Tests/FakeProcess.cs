namespace Holdfast.Actors.Tests;

/// <summary>A process of the fake bridge: it knows who touched it, from which thread, and whether it stands.</summary>
internal sealed class FakeProcess(int pid)
{
    private readonly Lock _gate = new();
    private int? _tracer;

    public int Pid { get; } = pid;

    public int Threads { get; init; } = 2;

    public bool Exited { get; set; }

    public bool Stands { get; private set; }

    public int Stops { get; private set; }

    public int Resumes { get; private set; }

    /// <summary>Killed while it stood, so that it never ran again.</summary>
    public bool Killed { get; private set; }

    /// <summary>What the contract of the bridge forbids and was done nevertheless.</summary>
    public List<string> Violations { get; } = [];

    public void Touch(string call)
    {
        lock (_gate)
        {
            int thread = Environment.CurrentManagedThreadId;
            _tracer ??= thread;
            if (_tracer != thread)
            {
                Violations.Add($"{call} of {Pid} on thread {thread}, not on its tracer's thread {_tracer}");
            }
        }
    }

    /// <summary>A new handle may come from a new thread.</summary>
    public void Detached()
    {
        lock (_gate)
        {
            _tracer = null;
        }
    }

    public void Stop()
    {
        lock (_gate)
        {
            if (!Stands)
            {
                Stands = true;
                Stops++;
            }
        }
    }

    public void Resume()
    {
        lock (_gate)
        {
            if (Stands)
            {
                Stands = false;
                Resumes++;
            }
        }
    }

    public void Kill()
    {
        lock (_gate)
        {
            if (!Stands)
            {
                Violations.Add($"{Pid} was killed while it ran");
            }

            Killed = true;
        }
    }
}
