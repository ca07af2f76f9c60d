using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Linux;

/// <summary>Reads <c>struct sockaddr</c> in its forms for AF_UNIX, AF_INET and AF_INET6.</summary>
internal static class SocketName
{
    public static int FamilyOf(ReadOnlySpan<byte> address) => address.Length < 2 ? 0 : BinaryPrimitives.ReadUInt16LittleEndian(address);

    /// <summary>Whether it names anything: a Unix address with a name, an Internet or netlink address with a port.</summary>
    public static bool IsNamed(ReadOnlySpan<byte> address) => FamilyOf(address) switch
    {
        AF_UNIX => address.Length > 2,
        AF_INET or AF_INET6 => Port(address) != 0,
        AF_NETLINK => NetlinkPort(address) != 0,
        _ => false,
    };

    public static int Port(ReadOnlySpan<byte> address) => IsInternet(address) ? BinaryPrimitives.ReadUInt16BigEndian(address[2..]) : 0;

    /// <summary>The port of a <c>struct sockaddr_nl</c>; 0 is the kernel's, or none.</summary>
    public static uint NetlinkPort(ReadOnlySpan<byte> address) => FamilyOf(address) == AF_NETLINK && address.Length == 12 ? BinaryPrimitives.ReadUInt32LittleEndian(address[4..]) : 0;

    public static bool IsInternet(ReadOnlySpan<byte> address) => (FamilyOf(address) == AF_INET && address.Length == 16) || (FamilyOf(address) == AF_INET6 && address.Length == 28);

    /// <summary>The Internet address; IPv4 in IPv6 form becomes IPv4.</summary>
    public static IPAddress Internet(ReadOnlySpan<byte> address)
    {
        IPAddress ip = FamilyOf(address) == AF_INET ? new IPAddress(address.Slice(4, 4)) : new IPAddress(address.Slice(8, 16));
        return ip.IsIPv4MappedToIPv6 ? ip.MapToIPv4() : ip;
    }

    /// <summary>The same in one form for both families, so that ends can be compared.</summary>
    public static IPEndPoint EndPoint(ReadOnlySpan<byte> address) => new(Internet(address), Port(address));

    /// <summary>An address of a family (for AF_INET6 an IPv4 one in its IPv6 form).</summary>
    public static byte[] Of(int family, IPAddress ip, int port)
    {
        byte[] address = new byte[family == AF_INET ? 16 : 28];
        BinaryPrimitives.WriteUInt16LittleEndian(address, (ushort)family);
        BinaryPrimitives.WriteUInt16BigEndian(address.AsSpan(2), (ushort)port);
        (family == AF_INET ? ip.MapToIPv4() : ip.MapToIPv6()).GetAddressBytes().CopyTo(address, family == AF_INET ? 4 : 8);
        return address;
    }

    /// <summary>The path of a Unix address; null when it is abstract or unnamed.</summary>
    public static string? Path(ReadOnlySpan<byte> address)
    {
        if (FamilyOf(address) != AF_UNIX || address.Length <= 2 || address[2] == 0)
        {
            return null;
        }

        ReadOnlySpan<byte> path = address[2..];
        int end = path.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? path : path[..end]);
    }

    /// <summary>For people.</summary>
    public static string Text(ReadOnlySpan<byte> address) => FamilyOf(address) switch
    {
        AF_UNIX when address.Length <= 2 => "unnamed",
        AF_UNIX => Path(address) ?? "@" + Encoding.UTF8.GetString(address[3..]).Replace('\0', '@'),
        AF_INET or AF_INET6 when IsInternet(address) => EndPoint(address).ToString(),
        AF_NETLINK => string.Create(CultureInfo.InvariantCulture, $"port {NetlinkPort(address)}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"family {FamilyOf(address)}"),
    };
}
