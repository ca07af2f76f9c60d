using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>UDP sockets; see udp(7).</summary>
internal static class UdpSockets
{
    /// <summary>Notes what a restore does not bring back.</summary>
    public static void Look(SocketCensus census)
    {
        if (census.Known.Values.Any(IsUdp))
        {
            census.Caveats.Add("datagrams that wait in UDP sockets are kept when they came from this host, and lost like any other in the network when not; an empty one behind another is only seen by the first checkpoint");
        }
    }

    private static bool IsUdp(SocketFacts socket) => socket.Type == SOCK_DGRAM && socket.Family is AF_INET or AF_INET6;
}
