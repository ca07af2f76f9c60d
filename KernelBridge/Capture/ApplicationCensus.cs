using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What was found across the processes of an application.</summary>
/// <param name="OutsidePipes">Pipes that reach outside, by inode.</param>
/// <param name="Sockets">Sockets and who is at their other ends.</param>
/// <param name="Terminals">Pseudo-terminals of its own.</param>
/// <param name="PidNamespaces">Pid namespaces of its own.</param>
/// <param name="MountNamespaces">Mount namespaces of its own.</param>
internal sealed record ApplicationCensus(
    IReadOnlyDictionary<ulong, (int Stream, Refusal? Refusal)> OutsidePipes, SocketCensus Sockets, TerminalCensus Terminals, PidNamespaces PidNamespaces,
    MountNamespaces MountNamespaces);
