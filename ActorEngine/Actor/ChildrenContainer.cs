namespace Akka.Actor;

/// <summary>What a supervisor knows of a child: how often it was restarted within the time range.</summary>
internal sealed class ChildRestartStats(IInternalActorRef child)
{
    private uint _retries;
    private long _windowStart;

    public IInternalActorRef Child { get; } = child;

    public long Uid => Child.Path.Uid;

    /// <summary>Counts a restart; false when it is one too many.</summary>
    /// <param name="maxRetries">Negative for no limit.</param>
    /// <param name="windowMilliseconds">0 or less for no range.</param>
    /// <param name="now">A monotonic time in milliseconds.</param>
    public bool RequestRestartPermission(int maxRetries, int windowMilliseconds, long now)
    {
        if (maxRetries == 0)
        {
            return false;
        }

        if (windowMilliseconds <= 0)
        {
            return maxRetries < 0 || ++_retries <= maxRetries;
        }

        // With a range and no limit, one retry per range is allowed.
        var limit = maxRetries < 0 ? 1 : maxRetries;
        if (_windowStart == 0)
        {
            _windowStart = now;
        }

        if (now - _windowStart <= windowMilliseconds)
        {
            return ++_retries <= limit;
        }

        _retries = 1;
        _windowStart = now;
        return true;
    }
}

/// <summary>Why an actor waits for children to end.</summary>
internal abstract record SuspendReason
{
    internal sealed record UserRequest : SuspendReason;

    internal sealed record Creation : SuspendReason;

    internal sealed record Recreation(Exception Cause) : SuspendReason;

    internal sealed record Termination : SuspendReason;
}

/// <summary>The children of an actor, and which of them must end before the actor goes on. Readable from any thread.</summary>
internal sealed class ChildrenContainer
{
    private readonly Dictionary<string, ChildRestartStats?> _byName = [];
    private HashSet<IActorRef>? _dying;
    private SuspendReason? _reason;
    private bool _terminated;

    public bool IsNormal
    {
        get
        {
            lock (_byName)
            {
                return !_terminated && _reason is null or SuspendReason.UserRequest;
            }
        }
    }

    public bool IsTerminating
    {
        get
        {
            lock (_byName)
            {
                return _terminated || _reason is SuspendReason.Termination;
            }
        }
    }

    public int Count
    {
        get
        {
            lock (_byName)
            {
                return _byName.Count;
            }
        }
    }

    public IInternalActorRef[] Refs()
    {
        lock (_byName)
        {
            return _byName.Count == 0 ? [] : [.. from stats in _byName.Values where stats is not null select stats.Child];
        }
    }

    public ChildRestartStats[] Stats()
    {
        lock (_byName)
        {
            return [.. from stats in _byName.Values where stats is not null select stats];
        }
    }

    public ChildRestartStats? Find(string name)
    {
        lock (_byName)
        {
            return _byName.GetValueOrDefault(name);
        }
    }

    public ChildRestartStats? Find(IActorRef actor)
    {
        var stats = Find(actor.Path.Name);
        return stats is not null && stats.Child.Equals(actor) ? stats : null;
    }

    public void Reserve(string name)
    {
        lock (_byName)
        {
            if (_terminated || _reason is SuspendReason.Termination)
            {
                throw new InvalidOperationException($"Cannot reserve actor name '{name}': {(_terminated ? "terminated" : "terminating")}");
            }

            if (!_byName.TryAdd(name, null))
            {
                throw new InvalidActorNameException($"Actor name \"{name}\" is not unique!");
            }
        }
    }

    public void Unreserve(string name)
    {
        lock (_byName)
        {
            if (_byName.TryGetValue(name, out var stats) && stats is null)
            {
                _byName.Remove(name);
            }
        }
    }

    public void Add(string name, ChildRestartStats stats)
    {
        lock (_byName)
        {
            _byName[name] = stats;
        }
    }

    public void ShallDie(IActorRef actor)
    {
        lock (_byName)
        {
            if (_terminated)
            {
                return;
            }

            _reason ??= new SuspendReason.UserRequest();
            (_dying ??= []).Add(actor);
        }
    }

    /// <summary>Sets what the actor does once the dying children are gone; false when none is dying.</summary>
    public bool TrySetReason(SuspendReason reason)
    {
        lock (_byName)
        {
            if (_reason is null)
            {
                return false;
            }

            _reason = reason;
            return true;
        }
    }

    public void SetTerminated()
    {
        lock (_byName)
        {
            _byName.Clear();
            _dying = null;
            _reason = null;
            _terminated = true;
        }
    }

    /// <summary>Removes a child. The reason comes back when it was the last that had to end.</summary>
    public SuspendReason? Remove(IActorRef child)
    {
        lock (_byName)
        {
            if (_byName.GetValueOrDefault(child.Path.Name) is { } stats && stats.Child.Equals(child))
            {
                _byName.Remove(child.Path.Name);
            }

            if (_reason is null)
            {
                return null;
            }

            _dying!.Remove(child);
            if (_dying.Count > 0)
            {
                return null;
            }

            var reason = _reason;
            _reason = null;
            _dying = null;
            if (reason is SuspendReason.Termination)
            {
                _terminated = true;
            }

            return reason;
        }
    }
}
