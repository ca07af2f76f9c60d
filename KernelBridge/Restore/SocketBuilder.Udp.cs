using System.Net;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>UDP sockets.</summary>
internal sealed partial class SocketBuilder
{
    private void BuildUdp()
    {
        List<SocketImage> all = [.. All.Where(socket => socket.Type == SOCK_DGRAM && socket.Family is AF_INET or AF_INET6)];
        foreach (SocketImage socket in all)
        {
            BuiltSocket made = Create(socket);
            SocketOptions.Write(made.Copy, socket);
            BindInternet(made, socket.Local, evenIfWaiting: false);
        }

        foreach (SocketImage socket in all.Where(socket => socket.Queue.Count > 0 && (SocketOptions.Value(socket, SO_REUSEPORT) ?? 0) == 0))
        {
            FillUdp(built[socket.Id], all);
        }

        foreach (SocketImage socket in all.Where(socket => SocketName.IsNamed(socket.Remote)))
        {
            ConnectInternet(built[socket.Id], socket.Remote);
        }
    }

    /// <summary>Sends what had been sent, from the same address; one that is not of this host cannot be had, and its datagrams are lost.</summary>
    private void FillUdp(BuiltSocket to, List<SocketImage> all)
    {
        Dictionary<string, BuiltSocket?> senders = [];
        foreach (SocketMessageImage message in to.Image.Queue.Where(message => SocketName.IsNamed(message.From)))
        {
            string name = Convert.ToHexString(message.From);
            IPEndPoint source = SocketName.EndPoint(message.From);
            if (!senders.TryGetValue(name, out BuiltSocket? from))
            {
                SocketImage? own = all.Find(socket =>
                    SocketName.IsInternet(socket.Local) && SocketName.Port(socket.Local) == source.Port
                    && SocketName.Internet(socket.Local) is var at && (at.Equals(source.Address) || at.Equals(IPAddress.Any) || at.Equals(IPAddress.IPv6Any)));
                from = own is not null ? built[own.Id] : Helper(to.Image);
                if (own is null && Bind(from, message.From) != 0)
                {
                    Close(from);
                    from = null;
                }

                senders[name] = from;
                if (from is not null)
                {
                    MakeRoom(from, to);
                }
            }

            if (from is not null)
            {
                IPAddress at = SocketName.Internet(to.Image.Local);
                IPAddress target = at.Equals(IPAddress.Any) || at.Equals(IPAddress.IPv6Any) ? source.Address : at;
                Send(from, message, SocketName.Of(from.Image.Family, target, SocketName.Port(to.Image.Local)), to.Image);
            }
        }

        foreach (BuiltSocket helper in senders.Values.OfType<BuiltSocket>().Where(helpers.Contains))
        {
            Close(helper);
        }
    }
}
