using Holdfast.KernelBridge;

namespace Holdfast.Actors;

/// <summary>What the supervisor of an application needs of the process that hosts it.</summary>
public interface IApplicationHost
{
    /// <summary>
    /// The application runs: keep the way to find it again. Called before anybody is told that it runs, so that a host that dies
    /// right afterwards leaves an application that the next one finds.
    /// </summary>
    void Started(IRunningApplication application);

    /// <summary>All its memory is in place: the snapshot that it came from is not needed any more.</summary>
    void MemoryLoaded()
    {
    }

    /// <summary>Memory that it still lacks cannot be had: it is ended.</summary>
    /// <param name="failure">What is lost, and where.</param>
    void MemoryLost(OperationFailure failure)
    {
    }

    /// <summary>What is run around the freeze; null for nothing.</summary>
    IApplicationHooks? Hooks => null;

    /// <summary>Sends SIGKILL to processes that stand at the barrier, so that none of them runs another instruction when it is let go.</summary>
    /// <param name="pids">Host pids; they stand, so that the pids cannot have passed to others.</param>
    void KillStanding(IReadOnlyList<int> pids);

    /// <summary>The same, and holds their TCP connections with others for a restore of this snapshot.</summary>
    /// <param name="pids">As above.</param>
    /// <param name="image">What was captured of them.</param>
    /// <param name="snapshot">The snapshot's id.</param>
    /// <param name="time">How long they are held.</param>
    /// <returns>How many sockets are held.</returns>
    /// <exception cref="BridgeException">They cannot be held; nothing was killed.</exception>
    int KillStanding(IReadOnlyList<int> pids, ApplicationImage image, string snapshot, TimeSpan time) =>
        throw new NotSupportedException("this host holds no connections");
}
