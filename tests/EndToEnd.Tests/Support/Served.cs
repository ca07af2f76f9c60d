using System.Net.Sockets;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>What the sample servers have in common.</summary>
internal static class Served
{
    /// <summary>What each of them answers to /content.</summary>
    public static readonly byte[] Content = [.. Enumerable.Range(0, 20000).Select(i => (byte)((long)i * i % 251))];

    /// <summary>Whether somebody accepts connections at a port of this host.</summary>
    public static bool Listens(int port)
    {
        using Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            probe.Connect("127.0.0.1", port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
