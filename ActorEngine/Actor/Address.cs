using System.Globalization;
using System.Text;
using Akka.Util;

namespace Akka.Actor;

/// <summary>Where an actor system is reached: protocol, system name, and for remote ones host and port.</summary>
public sealed class Address : IEquatable<Address>, IComparable<Address>, IComparable, ISurrogated, ICloneable
{
    /// <summary>The address that stands for every system.</summary>
    public static readonly Address AllSystems = new("akka", "all-systems");

    private readonly string _text;

    /// <summary>Creates an address; without host and port it is local.</summary>
    public Address(string protocol, string system, string? host = null, int? port = null)
    {
        Protocol = protocol;
        System = system;
        Host = host?.ToLowerInvariant();
        Port = port;
        var text = new StringBuilder().Append(Protocol).Append("://").Append(System);
        if (!string.IsNullOrEmpty(Host))
        {
            text.Append('@').Append(Host);
        }

        if (Port is { } number)
        {
            text.Append(':').Append(number.ToString(CultureInfo.InvariantCulture));
        }

        _text = text.ToString();
    }

    /// <summary>The host name, or null for a local address.</summary>
    public string? Host { get; }

    /// <summary>The port, or null for a local address.</summary>
    public int? Port { get; }

    /// <summary>The name of the actor system.</summary>
    public string System { get; }

    /// <summary>The protocol, such as <c>akka</c>.</summary>
    public string Protocol { get; }

    /// <summary>Whether the address means something only inside this process.</summary>
    public bool HasLocalScope => string.IsNullOrEmpty(Host);

    /// <summary>Whether the address can be used from other nodes.</summary>
    public bool HasGlobalScope => !string.IsNullOrEmpty(Host);

    /// <summary>The part after the protocol: system, and host and port where there are such.</summary>
    public string HostPort() => _text[(Protocol.Length + 3)..];

    /// <summary>A copy with another host.</summary>
    public Address WithHost(string? host = null) => new(Protocol, System, host, Port);

    /// <summary>A copy with another port.</summary>
    public Address WithPort(int? port = null) => new(Protocol, System, Host, port);

    /// <summary>A copy with another protocol.</summary>
    public Address WithProtocol(string protocol) => new(protocol, System, Host, Port);

    /// <summary>A copy with another system name.</summary>
    public Address WithSystem(string system) => new(Protocol, system, Host, Port);

    /// <summary>Reads an address such as <c>akka://name</c> or <c>akka.tcp://name@host:123</c>.</summary>
    /// <exception cref="UriFormatException">The text is no address.</exception>
    public static Address Parse(string address) =>
        TryParse(address, out var result) ? result! : throw new UriFormatException($"'{address}' is not an actor system address; expected protocol://system[@host:port]");

    /// <summary>Reads an address; false when the text is none.</summary>
    public static bool TryParse(string path, out Address? address)
    {
        address = null;
        var scheme = path.IndexOf("://", StringComparison.Ordinal);
        if (scheme <= 0)
        {
            return false;
        }

        var rest = path[(scheme + 3)..];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (slash >= 0)
        {
            rest = rest[..slash];
        }

        if (rest.Length == 0)
        {
            return false;
        }

        var at = rest.IndexOf('@', StringComparison.Ordinal);
        if (at < 0)
        {
            address = new Address(path[..scheme], rest);
            return true;
        }

        var hostPort = rest[(at + 1)..];
        var colon = hostPort.LastIndexOf(':');
        if (at == 0 || colon <= 0 || !int.TryParse(hostPort[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65535)
        {
            return false;
        }

        address = new Address(path[..scheme], rest[..at], hostPort[..colon], port);
        return true;
    }

    /// <inheritdoc/>
    public object Clone() => new Address(Protocol, System, Host, Port);

    /// <inheritdoc/>
    public int CompareTo(Address? other) => other is null ? 1 : string.CompareOrdinal(_text, other._text);

    int IComparable.CompareTo(object? obj) => obj is null or Address ? CompareTo((Address?)obj) : throw new ArgumentException("not an Address", nameof(obj));

    /// <inheritdoc/>
    public bool Equals(Address? other) => other is not null && (ReferenceEquals(this, other) || _text == other._text);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Address other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _text.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => _text;

    /// <inheritdoc/>
    public ISurrogate ToSurrogate(ActorSystem system) => new AddressSurrogate { Protocol = Protocol, System = System, Host = Host, Port = Port };

    /// <summary>Equality of all parts.</summary>
    public static bool operator ==(Address? left, Address? right) => Equals(left, right);

    /// <summary>Inequality of some part.</summary>
    public static bool operator !=(Address? left, Address? right) => !Equals(left, right);

    /// <summary>The serialised form of an address.</summary>
    public sealed class AddressSurrogate : ISurrogate
    {
        /// <summary>The protocol.</summary>
        public string Protocol { get; set; } = "";

        /// <summary>The system's name.</summary>
        public string System { get; set; } = "";

        /// <summary>The host, or null.</summary>
        public string? Host { get; set; }

        /// <summary>The port, or null.</summary>
        public int? Port { get; set; }

        /// <inheritdoc/>
        public ISurrogated FromSurrogate(ActorSystem system) => new Address(Protocol, System, Host, Port);
    }
}
