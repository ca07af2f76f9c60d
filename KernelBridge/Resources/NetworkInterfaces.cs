using System.Buffers.Binary;
using System.Net;
using System.Text;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;
using static Holdfast.KernelBridge.Linux.NetlinkSocket;

namespace Holdfast.KernelBridge.Resources;

/// <summary>An address of an interface (<c>struct ifaddrmsg</c>).</summary>
/// <param name="Address">4 or 16 bytes.</param>
/// <param name="Prefix">Bits of the network.</param>
/// <param name="Scope">RT_SCOPE_….</param>
/// <param name="Broadcast">Of IPv4; null for none.</param>
internal sealed record InterfaceAddressImage(byte[] Address, int Prefix, int Scope, byte[]? Broadcast);

/// <summary>A route that somebody set (<c>struct rtmsg</c>): those that follow from addresses come with them.</summary>
/// <param name="Destination">4 or 16 bytes.</param>
/// <param name="Prefix">Bits of it.</param>
/// <param name="Gateway">Null for none.</param>
/// <param name="Source">The preferred source address; null for none.</param>
/// <param name="Priority">Its metric.</param>
/// <param name="Scope">RT_SCOPE_….</param>
/// <param name="Origin">RTPROT_…: who set it.</param>
internal sealed record RouteImage(byte[] Destination, int Prefix, byte[]? Gateway, byte[]? Source, uint Priority, int Scope, int Origin);

/// <summary>An end of a pair of veth(4), or the loopback interface.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Hardware">Its hardware address; empty for loopback.</param>
/// <param name="Mtu">Bytes of the longest packet.</param>
/// <param name="Up">IFF_UP.</param>
/// <param name="Addresses">Its addresses, but for those that the kernel gives it.</param>
/// <param name="Routes">Routes of the main table that lead through it.</param>
internal sealed record InterfaceEndImage(string Name, byte[] Hardware, uint Mtu, bool Up, IReadOnlyList<InterfaceAddressImage> Addresses, IReadOnlyList<RouteImage> Routes);

/// <summary>An interface of the application's network.</summary>
/// <param name="Inside">Its end there.</param>
/// <param name="Outside">The other end, in the network of whoever runs Holdfast; null for loopback.</param>
/// <param name="Bridge">The bridge there of which that end is a port; null for none.</param>
internal sealed record InterfaceImage(InterfaceEndImage Inside, InterfaceEndImage? Outside, string? Bridge);

/// <summary>
/// Interfaces of a network namespace of the application's own (<c>run --isolate …,net</c>): loopback, and pairs of veth(4) whose other end is in the network of whoever runs
/// Holdfast, with addresses and routes of both ends. A pair ends with the application, and a restore makes it again, straight into the new namespace, so that it goes with that
/// should the restore die. See rtnetlink(7).
/// </summary>
internal static class NetworkInterfaces
{
    /// <summary>Codes of refusals: an interface has that name already; the bridge is not there; for want of rights.</summary>
    public const string Taken = "net.taken", Bridge = "net.bridge", Rights = "rights.net";

    /// <summary>What a check says.</summary>
    public const string Caveat = "of its network namespace, neighbours, traffic control, rules (iptables, nftables, other tables of routes) and settings are not kept";

    private const int NETLINK_ROUTE = 0, RTM_NEWLINK = 16, RTM_GETLINK = 18, RTM_NEWADDR = 20, RTM_GETADDR = 22, RTM_NEWROUTE = 24, RTM_GETROUTE = 26;
    private const int IFLA_ADDRESS = 1, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_LINK = 5, IFLA_MASTER = 10, IFLA_LINKINFO = 18, IFLA_NET_NS_PID = 19, IFLA_INFO_KIND = 1, IFLA_INFO_DATA = 2, VETH_INFO_PEER = 1;
    private const int IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_BROADCAST = 4, IFA_FLAGS = 8, RTA_DST = 1, RTA_OIF = 4, RTA_GATEWAY = 5, RTA_PRIORITY = 6, RTA_PREFSRC = 7;
    private const uint Up = 1, Loopback = 8, NoDad = 2;
    private const int MainTable = 254, ByKernel = 2, Unicast = 1, HeaderOfLink = 16, HeaderOfAddress = 8, HeaderOfRoute = 12;
    private const int Patience = 5000;

    private sealed record Link(int Index, string Name, string Kind, byte[] Hardware, uint Mtu, uint Flags, int Peer, int Master);

    /// <summary>The interfaces of an application that does not share the network of whoever runs this.</summary>
    /// <param name="pid">A process of it.</param>
    /// <param name="left">Takes the names of those that are not kept.</param>
    public static IReadOnlyList<InterfaceImage> Capture(int pid, ICollection<string> left)
    {
        using NetlinkSocket inside = Open(pid);
        using NetlinkSocket outside = Open(Environment.ProcessId);
        List<Link> around = Links(outside);
        List<InterfaceImage> found = [];
        foreach (Link link in Links(inside))
        {
            Link? peer = link.Kind == "veth" ? around.Find(other => other.Kind == "veth" && other.Index == link.Peer && other.Peer == link.Index) : null;
            bool loopback = (link.Flags & Loopback) != 0;
            InterfaceEndImage end = End(inside, link);
            if (peer is not null || (loopback && (end.Addresses.Count > 0 || end.Routes.Count > 0)))
            {
                found.Add(new InterfaceImage(end, peer is null ? null : End(outside, peer), around.Find(other => other.Index == peer?.Master)?.Name));
            }
            else if (!loopback && (end.Up || end.Addresses.Count > 0))
            {
                left.Add(link.Name);
            }
        }

        return found;
    }

    /// <summary>What cannot be made here.</summary>
    public static IEnumerable<Refusal> CheckRestore(IReadOnlyList<InterfaceImage> images)
    {
        List<InterfaceImage> pairs = [.. images.Where(image => image.Outside is not null)];
        if (pairs.Count == 0)
        {
            yield break;
        }

        if (!Authority.Own.IsOfHost)
        {
            yield return new Refusal(Rights, 0, null, $"interface {pairs[0].Outside!.Name}", "only root may make an interface in the host's network", "restore as root");
            yield break;
        }

        using NetlinkSocket own = Open(Environment.ProcessId);
        // The kernel takes a network namespace down some time after its last process has ended.
        long end = Environment.TickCount64 + Patience;
        while (pairs.Exists(pair => Links(own).Exists(link => link.Name == pair.Outside!.Name)) && Environment.TickCount64 < end)
        {
            _ = Libc.usleep(10_000);
        }

        List<Link> links = Links(own);
        foreach (InterfaceImage pair in pairs)
        {
            if (links.Exists(link => link.Name == pair.Outside!.Name))
            {
                yield return new Refusal(Taken, 0, null, $"interface {pair.Outside!.Name}", "there is one of that name already", $"end who has it, as another copy of the application, or remove it (ip link delete {pair.Outside.Name})");
            }

            if (pair.Bridge is { } bridge && !links.Exists(link => link.Name == bridge))
            {
                yield return new Refusal(Bridge, 0, null, $"interface {pair.Outside!.Name}", $"it was a port of the bridge {bridge}, which is not there", $"make it (ip link add {bridge} type bridge)");
            }
        }
    }

    /// <summary>Makes the interfaces in the new network namespace of a process.</summary>
    /// <exception cref="BridgeException"><c>restore.net</c>.</exception>
    public static void Restore(IReadOnlyList<InterfaceImage> images, int pid)
    {
        if (images.Count == 0)
        {
            return;
        }

        using NetlinkSocket inside = Open(pid);
        using NetlinkSocket outside = Open(Environment.ProcessId);
        foreach (InterfaceImage image in images)
        {
            if (image.Outside is { } other)
            {
                byte[] peer = [.. new byte[HeaderOfLink], .. Describe(image.Inside), .. Attr(IFLA_NET_NS_PID, (uint)pid)];
                byte[] info = [.. Attr(IFLA_INFO_KIND, "veth"), .. Attr(IFLA_INFO_DATA, Attr(VETH_INFO_PEER, peer))];
                Require(outside.Ask(RTM_NEWLINK, Create, [.. new byte[HeaderOfLink], .. Describe(other), .. Attr(IFLA_LINKINFO, info)]), $"making interface {other.Name}");
                int? master = image.Bridge is { } bridge ? IndexOf(outside, bridge) : null;
                Finish(outside, other, master);
            }

            Finish(inside, image.Inside, null);
        }

        // A gateway must be reachable, by whichever interface.
        foreach (InterfaceImage image in images)
        {
            SetRoutes(inside, image.Inside);
            if (image.Outside is { } other)
            {
                SetRoutes(outside, other);
            }
        }
    }

    /// <summary>What of an image cannot be, or null.</summary>
    public static string? Problem(ApplicationImage image)
    {
        List<InterfaceEndImage> inside = [.. image.Interfaces.Where(one => one is not null).Select(one => one.Inside)];
        List<InterfaceEndImage> outside = [.. image.Interfaces.Select(one => one?.Outside).OfType<InterfaceEndImage>()];
        return image.Interfaces.Any(one => one?.Inside is null || (one.Bridge is { } bridge && !IsName(bridge))) || !inside.Concat(outside).All(IsValid)
            || inside.DistinctBy(end => end.Name).Count() != inside.Count || outside.DistinctBy(end => end.Name).Count() != outside.Count
            || image.Interfaces.Any(one => one.Outside is null != (one.Inside.Name == "lo"))
            ? "a network interface is impossible"
            : image.Interfaces.Count > 0 && image.Isolated?.Contains("net") != true ? "it has network interfaces without a network of its own" : null;
    }

    private static bool IsValid(InterfaceEndImage end) =>
        IsName(end.Name) && end.Hardware is { Length: 0 or 6 } && end.Mtu is >= 68 and <= 1 << 20 && end.Addresses is { Count: <= 1024 } && end.Routes is { Count: <= 4096 }
        && end.Addresses.All(address => address is { Address.Length: 4 or 16, Scope: >= 0 and <= 255 } && address.Prefix >= 0 && address.Prefix <= address.Address.Length * 8 && address.Broadcast is null or { Length: 4 })
        && end.Routes.All(route => route is { Destination.Length: 4 or 16, Scope: >= 0 and <= 255, Origin: > ByKernel and <= 255 } && route.Prefix >= 0 && route.Prefix <= route.Destination.Length * 8
            && (route.Gateway is null || route.Gateway.Length == route.Destination.Length) && (route.Source is null || route.Source.Length == route.Destination.Length));

    private static bool IsName(string? name) => name is { Length: > 0 and < 16 } && name is not ("." or "..") && name.All(c => c is > ' ' and < (char)127 and not ('/' or ':'));

    private static NetlinkSocket Open(int pid) => TryOpen(pid, NETLINK_ROUTE) ?? throw new BridgeException("restore.net", "asking for network interfaces", Errno.Text(Libc.LastError));

    private static void Require(int error, string what)
    {
        if (error != 0)
        {
            throw new BridgeException("restore.net", what, Errno.Text(error));
        }
    }

    private static byte[] Describe(InterfaceEndImage end) => [.. Attr(IFLA_IFNAME, end.Name), .. end.Hardware.Length > 0 ? Attr(IFLA_ADDRESS, end.Hardware) : [], .. Attr(IFLA_MTU, end.Mtu)];

    private static int IndexOf(NetlinkSocket socket, string name) =>
        Links(socket).Find(link => link.Name == name)?.Index ?? throw new BridgeException("restore.net", $"looking for interface {name}", "it is not there");

    /// <summary>Gives it addresses, and switches it on.</summary>
    private static void Finish(NetlinkSocket socket, InterfaceEndImage end, int? master)
    {
        int index = IndexOf(socket, end.Name);
        foreach (InterfaceAddressImage address in end.Addresses)
        {
            byte[] header = new byte[HeaderOfAddress];
            (header[0], header[1], header[3]) = (Family(address.Address), (byte)address.Prefix, (byte)address.Scope);
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), index);
            int error = socket.Ask(
                RTM_NEWADDR, Create,
                [.. header, .. Attr(IFA_LOCAL, address.Address), .. Attr(IFA_ADDRESS, address.Address), .. address.Broadcast is { } all ? Attr(IFA_BROADCAST, all) : [], .. Attr(IFA_FLAGS, address.Address.Length == 16 ? NoDad : 0)]);
            Require(error, $"giving {new IPAddress(address.Address)} to interface {end.Name}");
        }

        byte[] link = new byte[HeaderOfLink];
        BinaryPrimitives.WriteInt32LittleEndian(link.AsSpan(4), index);
        BinaryPrimitives.WriteUInt32LittleEndian(link.AsSpan(8), end.Up ? Up : 0);
        BinaryPrimitives.WriteUInt32LittleEndian(link.AsSpan(12), Up);
        Require(socket.Ask(RTM_NEWLINK, Acknowledged, [.. link, .. master is { } port ? Attr(IFLA_MASTER, (uint)port) : []]), $"switching interface {end.Name} on");
    }

    private static void SetRoutes(NetlinkSocket socket, InterfaceEndImage end)
    {
        // First what leads nowhere else: gateways are reached by these.
        foreach (RouteImage route in end.Routes.OrderBy(route => route.Gateway is not null))
        {
            byte[] header = new byte[HeaderOfRoute];
            (header[0], header[1], header[4], header[5], header[6], header[7]) = (Family(route.Destination), (byte)route.Prefix, MainTable, (byte)route.Origin, (byte)route.Scope, Unicast);
            int error = socket.Ask(
                RTM_NEWROUTE, Create,
                [
                    .. header, .. route.Prefix > 0 ? Attr(RTA_DST, route.Destination) : [], .. route.Gateway is { } gateway ? Attr(RTA_GATEWAY, gateway) : [], .. route.Source is { } source ? Attr(RTA_PREFSRC, source) : [],
                    .. route.Priority > 0 ? Attr(RTA_PRIORITY, route.Priority) : [], .. Attr(RTA_OIF, (uint)IndexOf(socket, end.Name)),
                ]);
            Require(error == Errno.EEXIST ? 0 : error, $"setting the route to {new IPAddress(route.Destination)}/{route.Prefix} through interface {end.Name}");
        }
    }

    private static byte Family(byte[] address) => (byte)(address.Length == 4 ? SocketCalls.AF_INET : SocketCalls.AF_INET6);

    private static List<Link> Links(NetlinkSocket socket)
    {
        List<Link> links = [];
        Require(
            socket.Ask(RTM_GETLINK, Dump, new byte[HeaderOfLink], (_, answer) =>
            {
                Link link = new((int)U32(answer, 4), "", "", [], 0, U32(answer, 8), 0, 0);
                Attributes(answer[HeaderOfLink..], (type, value) => link = type switch
                {
                    IFLA_ADDRESS => link with { Hardware = value.ToArray() },
                    IFLA_IFNAME => link with { Name = Encoding.UTF8.GetString(value).TrimEnd('\0') },
                    IFLA_MTU => link with { Mtu = U32(value, 0) },
                    IFLA_LINK => link with { Peer = (int)U32(value, 0) },
                    IFLA_MASTER => link with { Master = (int)U32(value, 0) },
                    IFLA_LINKINFO => link with { Kind = KindOf(value) },
                    _ => link,
                });
                links.Add(link);
            }),
            "asking for network interfaces");
        return links;
    }

    private static string KindOf(ReadOnlySpan<byte> info)
    {
        string kind = "";
        Attributes(info, (type, value) => kind = type == IFLA_INFO_KIND ? Encoding.UTF8.GetString(value).TrimEnd('\0') : kind);
        return kind;
    }

    private static InterfaceEndImage End(NetlinkSocket socket, Link link)
    {
        List<InterfaceAddressImage> addresses = [];
        Require(
            socket.Ask(RTM_GETADDR, Dump, new byte[HeaderOfAddress], (_, answer) =>
            {
                if (U32(answer, 4) != link.Index)
                {
                    return;
                }

                byte[]? local = null, address = null, broadcast = null;
                Attributes(answer[HeaderOfAddress..], (type, value) =>
                {
                    local = type == IFA_LOCAL ? value.ToArray() : local;
                    address = type == IFA_ADDRESS ? value.ToArray() : address;
                    broadcast = type == IFA_BROADCAST ? value.ToArray() : broadcast;
                });
                // The kernel gives an interface one of its own (of the link), and loopback both.
                if ((local ?? address) is { } own && !IPAddress.IsLoopback(new IPAddress(own)) && !new IPAddress(own).IsIPv6LinkLocal)
                {
                    addresses.Add(new InterfaceAddressImage(own, answer[1], answer[3], broadcast));
                }
            }),
            $"asking for addresses of interface {link.Name}");
        List<RouteImage> routes = [];
        Require(
            socket.Ask(RTM_GETROUTE, Dump, new byte[HeaderOfRoute], (_, answer) =>
            {
                if (answer[4] != MainTable || answer[5] == ByKernel || answer[7] != Unicast || answer[0] is not (SocketCalls.AF_INET or SocketCalls.AF_INET6))
                {
                    return;
                }

                RouteImage route = new(new byte[answer[0] == SocketCalls.AF_INET ? 4 : 16], answer[1], null, null, 0, answer[6], answer[5]);
                uint through = 0;
                Attributes(answer[HeaderOfRoute..], (type, value) =>
                {
                    through = type == RTA_OIF ? U32(value, 0) : through;
                    route = type switch
                    {
                        RTA_DST => route with { Destination = value.ToArray() },
                        RTA_GATEWAY => route with { Gateway = value.ToArray() },
                        RTA_PREFSRC => route with { Source = value.ToArray() },
                        RTA_PRIORITY => route with { Priority = U32(value, 0) },
                        _ => route,
                    };
                });
                if (through == link.Index)
                {
                    routes.Add(route);
                }
            }),
            $"asking for routes through interface {link.Name}");
        return new InterfaceEndImage(link.Name, (link.Flags & Loopback) != 0 ? [] : link.Hardware, link.Mtu, (link.Flags & Up) != 0, addresses, routes);
    }
}
