using System.Globalization;
using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

internal sealed partial class ActorCell
{
    private ChildrenContainer? _children;
    private long _nextName;

    private ChildrenContainer Children => _children ?? Interlocked.CompareExchange(ref _children, new ChildrenContainer(), null) ?? _children!;

    public IEnumerable<IActorRef> GetChildren() => _children?.Refs() ?? [];

    public IActorRef Child(string name) => (IActorRef?)FindChild(name) ?? ActorRefs.Nobody;

    /// <summary>From any thread.</summary>
    public IInternalActorRef? FindChild(string nameAndUid)
    {
        var hash = nameAndUid.IndexOf('#', StringComparison.Ordinal);
        if (hash < 0)
        {
            return _children?.Find(nameAndUid)?.Child;
        }

        var child = _children?.Find(nameAndUid[..hash])?.Child;
        return child is not null && long.TryParse(nameAndUid[(hash + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var uid) && child.Path.Uid == uid
            ? child
            : null;
    }

    /// <summary>From any thread for guardians, otherwise as the actor.</summary>
    internal LocalActorRef CreateChild(Props props, string? name, bool systemService)
    {
        if (name is null)
        {
            name = RandomName(Interlocked.Increment(ref _nextName) - 1);
        }
        else if (!systemService || name.Length > 0)
        {
            CheckName(name);
        }

        ArgumentNullException.ThrowIfNull(props);
        var children = Children;
        if (children.IsTerminating)
        {
            throw new InvalidOperationException("Cannot create child while terminating or terminated");
        }

        children.Reserve(name);
        LocalActorRef child;
        try
        {
            child = _system.CreateRef(props, _self, new ChildActorPath(_self.Path, name, NewUid()));
        }
        catch
        {
            children.Unreserve(name);
            throw;
        }

        children.Add(name, new ChildRestartStats(child));

        // A child of a suspended parent begins suspended; the parent's resume or restart reaches it like its siblings.
        if (_mailbox.IsSuspended && !systemService && ReferenceEquals(_current, this))
        {
            for (var depth = _mailbox.SuspendDepth; depth > 0; depth--)
            {
                child.Suspend();
            }
        }

        (child as Routing.RoutedActorRef)?.Initialize();
        child.Start();
        return child;
    }

    internal static long NewUid()
    {
        long uid;
        do
        {
            uid = Random.Shared.Next();
        }
        while (uid == 0);

        return uid;
    }

    private static void CheckName(string name)
    {
        if (name.Length == 0)
        {
            throw new InvalidActorNameException("Actor name must not be empty.");
        }

        if (!ActorPath.IsValidPathElement(name))
        {
            throw new InvalidActorNameException(
                $"Illegal actor name [{name}]. Actor paths MUST: not start with `$`, include only ASCII letters and can only contain these special characters: {ActorPath.ValidSymbols}.");
        }
    }

    internal static string RandomName(long number)
    {
        const string digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+~";
        Span<char> text = stackalloc char[13];
        var length = 0;
        text[length++] = '$';
        do
        {
            text[length++] = digits[(int)(number & 63)];
            number >>= 6;
        }
        while (number != 0);

        return new string(text[..length]);
    }

    public void Stop(IActorRef child)
    {
        if (_children?.Find(child) is not null)
        {
            _children.ShallDie(child);
        }

        ((IInternalActorRef)child).Stop();
    }

    private void StopChildren()
    {
        foreach (var child in _children?.Refs() ?? [])
        {
            Stop(child);
        }
    }

    private void SuspendChildren(IActorRef? except = null)
    {
        foreach (var child in _children?.Refs() ?? [])
        {
            if (!Equals(child, except))
            {
                child.Suspend();
            }
        }
    }

    private void ResumeChildren(Exception? causedByFailure, IActorRef? perpetrator)
    {
        foreach (var child in _children?.Refs() ?? [])
        {
            child.Resume(Equals(perpetrator, child) ? causedByFailure : null);
        }
    }

    private bool IsNormal => _children?.IsNormal ?? true;

    private bool IsTerminating => _children?.IsTerminating ?? false;
}
