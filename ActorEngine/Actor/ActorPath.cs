using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Akka.Util;

namespace Akka.Actor;

/// <summary>The name of an actor: the way from the root through its parents, with the incarnation's number. Equality leaves that number out.</summary>
public abstract class ActorPath : IEquatable<ActorPath>, IComparable<ActorPath>, ISurrogated
{
    /// <summary>The characters beside letters, digits and %-escapes that a name may contain.</summary>
    public const string ValidSymbols = "\"-_.*$+:@&=,!~';()";

    private readonly ActorPath? _parent;
    private string? _text;

    private protected ActorPath(Address address, string name)
    {
        Address = address;
        Name = name;
        Depth = 0;
    }

    private protected ActorPath(ActorPath parentPath, string name, long uid)
    {
        _parent = parentPath;
        Address = parentPath.Address;
        Name = name;
        Uid = uid;
        Depth = parentPath.Depth + 1;
    }

    /// <summary>The address of the system.</summary>
    public Address Address { get; }

    /// <summary>The last element.</summary>
    public string Name { get; }

    /// <summary>The number of this incarnation; 0 when unknown.</summary>
    public long Uid { get; }

    /// <summary>How many names lie below the root.</summary>
    public int Depth { get; }

    /// <summary>The path of the parent; null for the root.</summary>
    public ActorPath? Parent => _parent;

    /// <summary>The root of this path.</summary>
    public ActorPath Root
    {
        get
        {
            var path = this;
            while (path._parent is not null)
            {
                path = path._parent;
            }

            return path;
        }
    }

    /// <summary>The names below the root, from the top.</summary>
    public IReadOnlyList<string> Elements
    {
        get
        {
            if (_parent is null)
            {
                return [];
            }

            var elements = new string[Depth];
            var path = this;
            for (var i = Depth - 1; i >= 0; i--)
            {
                elements[i] = path!.Name;
                path = path._parent;
            }

            return elements;
        }
    }

    /// <summary>The path of a child of this name.</summary>
    public ActorPath Child(string childName) => new ChildActorPath(this, childName, 0);

    /// <summary>The ancestor at <paramref name="depth"/> names below the root; negative counts from the end.</summary>
    public ActorPath ParentOf(int depth)
    {
        var path = this;
        if (depth >= 0)
        {
            while (path.Depth > depth)
            {
                path = path._parent!;
            }
        }
        else
        {
            for (var i = depth; i < 0 && path.Depth > 0; i++)
            {
                path = path._parent!;
            }
        }

        return path;
    }

    /// <summary>The same path with another incarnation's number.</summary>
    public ActorPath WithUid(long uid) => _parent is null ? this : new ChildActorPath(_parent, Name, uid);

    /// <summary>The path without its address.</summary>
    public string ToStringWithoutAddress()
    {
        if (_text is null)
        {
            _text = _parent is null ? "/" : _parent._parent is null ? _parent.ToStringWithoutAddress() + Name : _parent.ToStringWithoutAddress() + "/" + Name;
        }

        return _text;
    }

    /// <summary>The path with its address.</summary>
    public string ToStringWithAddress() => Address + ToStringWithoutAddress();

    /// <summary>The path with its address, or <paramref name="address"/> when its own is local.</summary>
    public string ToStringWithAddress(Address address) => (Address.HasGlobalScope ? Address : address) + ToStringWithoutAddress();

    /// <summary>The path with its address and the incarnation's number.</summary>
    public string ToStringWithUid() => AppendUid(ToStringWithAddress());

    /// <summary>The form in which a reference is serialised: with address and incarnation.</summary>
    public string ToSerializationFormat() => ToStringWithUid();

    /// <summary>As <see cref="ToSerializationFormat"/>, with <paramref name="address"/> when its own is local.</summary>
    public string ToSerializationFormatWithAddress(Address address) => AppendUid(ToStringWithAddress(address));

    private string AppendUid(string text) => Uid == 0 ? text : text + "#" + Uid.ToString(CultureInfo.InvariantCulture);

    /// <summary>The elements joined to a path.</summary>
    public static string FormatPathElements(IEnumerable<string> pathElements) => "/" + string.Join("/", pathElements);

    /// <summary>Whether a text can be an actor's name: not empty, not starting with $, ASCII letters, digits, <see cref="ValidSymbols"/> and %-escapes.</summary>
    public static bool IsValidPathElement(string s)
    {
        if (string.IsNullOrEmpty(s) || s[0] == '$')
        {
            return false;
        }

        for (var i = 0; i < s.Length; i++)
        {
            var c = s[i];
            if (char.IsAsciiLetterOrDigit(c) || IsValidSymbol(c))
            {
                continue;
            }

            if (c == '%' && i + 2 < s.Length && char.IsAsciiHexDigit(s[i + 1]) && char.IsAsciiHexDigit(s[i + 2]))
            {
                i += 2;
                continue;
            }

            return false;
        }

        return true;
    }

    // By hand: the framework's search costs the first start of a system more than a millisecond.
    private static bool IsValidSymbol(char c)
    {
        foreach (var symbol in ValidSymbols)
        {
            if (symbol == c)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Reads a full path.</summary>
    /// <exception cref="UriFormatException">The text is no path with an address.</exception>
    public static ActorPath Parse(string path) => TryParse(path, out var result) ? result : throw new UriFormatException($"'{path}' is not an actor path; expected protocol://system[@host:port]/user/...");

    /// <summary>Reads a full path; false when the text is none.</summary>
    public static bool TryParse(string path, [NotNullWhen(true)] out ActorPath? actorPath)
    {
        actorPath = null;
        if (!Address.TryParse(path, out var address))
        {
            return false;
        }

        var start = path.IndexOf('/', path.IndexOf("://", StringComparison.Ordinal) + 3);
        ActorPath result = new RootActorPath(address!);
        if (start < 0)
        {
            actorPath = result;
            return true;
        }

        var rest = path[(start + 1)..];
        long uid = 0;
        var hash = rest.IndexOf('#', StringComparison.Ordinal);
        if (hash >= 0)
        {
            if (!long.TryParse(rest[(hash + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out uid))
            {
                return false;
            }

            rest = rest[..hash];
        }

        foreach (var element in rest.Split('/'))
        {
            if (element.Length > 0)
            {
                result = new ChildActorPath(result, element, 0);
            }
        }

        actorPath = uid == 0 ? result : result.WithUid(uid);
        return true;
    }

    /// <summary>Reads the address of a full path; false when there is none.</summary>
    public static bool TryParseAddress(string path, out Address? address) => Address.TryParse(path, out address);

    /// <inheritdoc/>
    public bool Equals(ActorPath? other)
    {
        if (other is null || Depth != other.Depth)
        {
            return false;
        }

        var a = this;
        var b = other;
        while (!ReferenceEquals(a, b))
        {
            if (a!._parent is null)
            {
                return a.Address.Equals(b!.Address);
            }

            if (a.Name != b!.Name)
            {
                return false;
            }

            a = a._parent;
            b = b._parent;
        }

        return true;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ActorPath other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => unchecked((Name.GetHashCode(StringComparison.Ordinal) * 397) ^ ((_parent?.Name.GetHashCode(StringComparison.Ordinal) ?? 0) * 31) ^ Depth);

    /// <inheritdoc/>
    public int CompareTo(ActorPath? other) => other is null ? 1 : string.CompareOrdinal(ToStringWithAddress(), other.ToStringWithAddress());

    /// <inheritdoc/>
    public override string ToString() => ToStringWithAddress();

    /// <inheritdoc/>
    public ISurrogate ToSurrogate(ActorSystem system) => new Surrogate(ToSerializationFormat());

    /// <summary>The path of a child of this name.</summary>
    public static ActorPath operator /(ActorPath path, string name) => new ChildActorPath(path, name, 0);

    /// <summary>The path of a descendant.</summary>
    public static ActorPath operator /(ActorPath path, IEnumerable<string> name)
    {
        foreach (var element in name)
        {
            if (!string.IsNullOrEmpty(element))
            {
                path /= element;
            }
        }

        return path;
    }

    /// <summary>Equality of address and names.</summary>
    public static bool operator ==(ActorPath? left, ActorPath? right) => Equals(left, right);

    /// <summary>Inequality of address or names.</summary>
    public static bool operator !=(ActorPath? left, ActorPath? right) => !Equals(left, right);

    /// <summary>The serialised form of a path.</summary>
    public sealed class Surrogate : ISurrogate, IEquatable<Surrogate>, IEquatable<ActorPath>
    {
        /// <summary>Holds the text of a path.</summary>
        public Surrogate(string path) => Path = path;

        /// <summary>The path as text.</summary>
        public string Path { get; }

        /// <inheritdoc/>
        public ISurrogated FromSurrogate(ActorSystem system) => Parse(Path);

        /// <inheritdoc/>
        public bool Equals(Surrogate? other) => other is not null && Path == other.Path;

        /// <inheritdoc/>
        public bool Equals(ActorPath? other) => other is not null && TryParse(Path, out var path) && path.Equals(other);

        /// <inheritdoc/>
        public override bool Equals(object? obj) => obj is Surrogate surrogate ? Equals(surrogate) : obj is ActorPath path && Equals(path);

        /// <inheritdoc/>
        public override int GetHashCode() => Path.GetHashCode(StringComparison.Ordinal);
    }
}

/// <summary>The root of all paths of one system.</summary>
public sealed class RootActorPath : ActorPath
{
    /// <summary>Creates the root for an address.</summary>
    public RootActorPath(Address address, string name = "")
        : base(address, name)
    {
    }
}

/// <summary>A path with a parent.</summary>
public sealed class ChildActorPath : ActorPath
{
    /// <summary>Creates the path of a child.</summary>
    public ChildActorPath(ActorPath parentPath, string name, long uid)
        : base(parentPath, name, uid)
    {
    }
}
