namespace Holdfast.KernelBridge.Spaces;

/// <summary>What a space's init says about itself.</summary>
/// <param name="MainPidInside">The main process's pid in the space.</param>
/// <param name="MainPid">The same process as this process's pid namespace numbers it; 0 when it has no number here.</param>
/// <param name="Armed">Whether this connection watches over a freeze.</param>
/// <param name="Leased">Whether a lease runs.</param>
/// <param name="LeaseExpired">Whether the init froze the application because its lease ran out.</param>
/// <param name="HasCgroup">Whether the application has a cgroup of its own; without one it has neither watchdog nor lease.</param>
/// <param name="LeaseLeft">How long the lease still runs; zero without one.</param>
/// <param name="Loading">Whether processes of it still lack pages.</param>
internal sealed record InitStatus(
    int MainPidInside, int MainPid, bool Armed, bool Leased, bool LeaseExpired, bool HasCgroup, TimeSpan LeaseLeft, bool Loading);
