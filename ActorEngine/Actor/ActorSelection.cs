using System.Text.RegularExpressions;
using Akka.Event;

namespace Akka.Actor;

/// <summary>A step of a selection.</summary>
public abstract class SelectionPathElement
{
}

/// <summary>To the child of a name.</summary>
public class SelectChildName : SelectionPathElement
{
    /// <summary>Creates one.</summary>
    public SelectChildName(string name) => Name = name;

    /// <summary>The name.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SelectChildName other && Name == other.Name;

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>To the children whose names fit a pattern with * and ?.</summary>
public class SelectChildPattern : SelectionPathElement
{
    private readonly Regex _pattern;

    /// <summary>Creates one.</summary>
    public SelectChildPattern(string patternStr)
    {
        PatternStr = patternStr;
        _pattern = new Regex("^" + Regex.Escape(patternStr).Replace("\\*", ".*", StringComparison.Ordinal).Replace("\\?", ".", StringComparison.Ordinal) + "$");
    }

    /// <summary>The pattern.</summary>
    public string PatternStr { get; }

    internal bool Fits(string name) => _pattern.IsMatch(name);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SelectChildPattern other && PatternStr == other.PatternStr;

    /// <inheritdoc/>
    public override int GetHashCode() => PatternStr.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => PatternStr;
}

/// <summary>To all below: <c>**</c>, only at the end of a path.</summary>
public class SelectChildRecursive : SelectionPathElement
{
    /// <summary>The usual instance.</summary>
    public static readonly SelectChildRecursive Instance = new();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SelectChildRecursive;

    /// <inheritdoc/>
    public override int GetHashCode() => 0;

    /// <inheritdoc/>
    public override string ToString() => "**";
}

/// <summary>To the parent.</summary>
public class SelectParent : SelectionPathElement
{
    /// <summary>The usual instance.</summary>
    public static readonly SelectParent Instance = new();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SelectParent;

    /// <inheritdoc/>
    public override int GetHashCode() => 0;

    /// <inheritdoc/>
    public override string ToString() => "..";
}

/// <summary>A message on its way along a selection.</summary>
public class ActorSelectionMessage : IAutoReceivedMessage, IPossiblyHarmful, IWrappedMessage
{
    /// <summary>Creates one.</summary>
    public ActorSelectionMessage(object message, SelectionPathElement[] elements, bool wildCardFanOut = false)
    {
        Message = message;
        Elements = elements;
        WildCardFanOut = wildCardFanOut;
    }

    /// <summary>The message.</summary>
    public object Message { get; }

    /// <summary>The steps that are left.</summary>
    public SelectionPathElement[] Elements { get; }

    /// <summary>Whether it went through a pattern.</summary>
    public bool WildCardFanOut { get; }

    /// <summary>A copy, with some of it changed; null for what stays.</summary>
    public ActorSelectionMessage Copy(object? message = null, SelectionPathElement[]? elements = null, bool? wildCardFanOut = null) =>
        new(message ?? Message, elements ?? Elements, wildCardFanOut ?? WildCardFanOut);

    /// <inheritdoc/>
    public override string ToString() => $"ActorSelectionMessage - Message: {Message} - WildCardFanOut: {WildCardFanOut} - Elements: {string.Join("/", (object[])Elements)}";
}

/// <summary>The actors at a path, whoever they are when a message goes there.</summary>
public class ActorSelection : ICanTell
{
    /// <summary>Selects nobody.</summary>
    public ActorSelection()
    {
        Anchor = ActorRefs.Nobody;
        Path = [];
    }

    /// <summary>Selects by steps.</summary>
    public ActorSelection(IActorRef anchor, SelectionPathElement[] path)
    {
        Anchor = anchor;
        Path = path;
    }

    /// <summary>Selects by a relative path.</summary>
    public ActorSelection(IActorRef anchor, string path)
        : this(anchor, path == "" ? [] : path.Split('/'))
    {
    }

    /// <summary>Selects by the elements of a relative path.</summary>
    public ActorSelection(IActorRef anchor, IEnumerable<string> elements)
        : this(anchor, [.. elements.Where(element => element.Length > 0 && element != ".").Select(ToElement)])
    {
        if (Path.AsSpan()[..Math.Max(0, Path.Length - 1)].Contains(SelectChildRecursive.Instance))
        {
            throw new IllegalActorNameException("Double wildcard can only appear at the last path entry");
        }
    }

    /// <summary>Where it starts.</summary>
    public IActorRef Anchor { get; }

    /// <summary>The steps from there.</summary>
    public SelectionPathElement[] Path { get; }

    /// <summary>The steps as text.</summary>
    public string PathString => "/" + string.Join("/", (object[])Path);

    private static SelectionPathElement ToElement(string element) =>
        element == ".." ? SelectParent.Instance : element == "**" ? SelectChildRecursive.Instance : element.Contains('*', StringComparison.Ordinal) || element.Contains('?', StringComparison.Ordinal) ? new SelectChildPattern(element) : new SelectChildName(element);

    /// <summary>Sends to all that are selected; in no sender's name, in that of the actor at hand.</summary>
    public void Tell(object message, IActorRef? sender = null)
    {
        sender ??= ActorCell.Current?.Self;
        Deliver((IInternalActorRef)Anchor, sender, new ActorSelectionMessage(message, Path));
    }

    /// <summary>The reference of the one actor that is selected.</summary>
    /// <exception cref="ActorNotFoundException">Nobody answered in time.</exception>
    public Task<IActorRef> ResolveOne(TimeSpan timeout) => ResolveOne(timeout, CancellationToken.None);

    /// <summary>The reference of the one actor that is selected.</summary>
    /// <exception cref="ActorNotFoundException">Nobody answered in time.</exception>
    public async Task<IActorRef> ResolveOne(TimeSpan timeout, CancellationToken ct)
    {
        try
        {
            var identity = await this.Ask<ActorIdentity>(new Identify(null!), timeout, ct).ConfigureAwait(false);
            return identity.Subject ?? throw new ActorNotFoundException("subject was null");
        }
        catch (Exception e) when (e is not ActorNotFoundException)
        {
            throw new ActorNotFoundException("Exception occurred while resolving ActorSelection", e);
        }
    }

    internal static void Deliver(IInternalActorRef anchor, IActorRef? sender, ActorSelectionMessage selection)
    {
        var current = anchor;
        var elements = selection.Elements;
        for (var i = 0; i < elements.Length; i++)
        {
            switch (elements[i])
            {
                case SelectParent:
                    current = current.Parent ?? current;
                    break;
                case SelectChildName child:
                    var next = current.GetChild(child.Name);
                    if (next is null)
                    {
                        NotFound(current, elements.AsSpan(i), sender, selection);
                        return;
                    }

                    current = next;
                    break;
                case SelectChildRecursive:
                    foreach (var below in (current as LocalActorRef)?.Cell.GetChildren() ?? [])
                    {
                        below.Tell(selection.Message, sender!);
                        Deliver((IInternalActorRef)below, sender, new ActorSelectionMessage(selection.Message, [SelectChildRecursive.Instance], wildCardFanOut: true));
                    }

                    return;
                case SelectChildPattern pattern:
                    var children = (current as LocalActorRef)?.Cell.GetChildren().Where(each => pattern.Fits(each.Path.Name)).ToArray() ?? [];
                    var rest = elements[(i + 1)..];
                    if (children.Length == 0 && !selection.WildCardFanOut)
                    {
                        NotFound(current, elements.AsSpan(i), sender, selection);
                    }

                    foreach (var child in children)
                    {
                        if (rest.Length == 0)
                        {
                            child.Tell(selection.Message, sender!);
                        }
                        else
                        {
                            Deliver((IInternalActorRef)child, sender, new ActorSelectionMessage(selection.Message, rest, wildCardFanOut: true));
                        }
                    }

                    return;
                default:
                    throw new NotSupportedException($"unknown selection element {elements[i]}");
            }
        }

        current.Tell(selection.Message, sender!);
    }

    private static void NotFound(IInternalActorRef from, ReadOnlySpan<SelectionPathElement> rest, IActorRef? sender, ActorSelectionMessage selection)
    {
        if (selection.WildCardFanOut)
        {
            return;
        }

        if (selection.Message is Identify identify)
        {
            sender?.Tell(new ActorIdentity(identify.MessageId, null), ActorRefs.NoSender!);
            return;
        }

        var system = (from as LocalActorRef)?.Cell.SystemImpl ?? (from as ISystemBound)?.System;
        var path = from.Path / rest.ToArray().Select(element => element.ToString()!);
        system?.DeadLetterUserMessage(selection.Message, sender, new EmptyLocalActorRef(system, path));
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ActorSelection other && Equals(other);

    /// <summary>Equality of anchor and steps.</summary>
    protected bool Equals(ActorSelection other) => Equals(Anchor, other.Anchor) && PathString == other.PathString;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Anchor, PathString);

    /// <inheritdoc/>
    public override string ToString() => $"ActorSelection[Anchor({Anchor.Path}#{Anchor.Path.Uid}), Path({PathString})]";
}

internal static class ActorSelectionFactory
{
    public static ActorSelection FromPath(ActorPath path, ActorSystemImpl system) =>
        path.Address.Equals(system.Provider.RootPath.Address) ? new ActorSelection(system.Provider.Root, path.Elements) : new ActorSelection(system.DeadLetters, path.Elements);

    public static ActorSelection FromString(string path, ActorSystemImpl system, IActorRef anchor)
    {
        if (ActorPath.TryParse(path, out var full))
        {
            return FromPath(full, system);
        }

        return path.StartsWith('/')
            ? new ActorSelection(system.Provider.Root, path.Split('/'))
            : new ActorSelection(anchor, path.Split('/'));
    }
}
