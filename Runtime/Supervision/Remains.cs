using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Supervision;

/// <summary>
/// What an application that was lost together with its init and its supervisor leaves behind: control groups, a socket. Looking for it
/// makes the bridge remove that; the exit file stays.
/// </summary>
internal static class Remains
{
    /// <summary>Removes them; the caller holds the application's lock.</summary>
    public static void Remove(Session session, ApplicationRecord? record)
    {
        if (record is null || record.Target.RootPid == 0 || ApplicationDirectory.Runs(record))
        {
            return;
        }

        if (session.Store.ExistingSnapshots() is not null)
        {
            LazyMemory.Unpin(session.Store.Snapshots(), record);
        }

        try
        {
            session.Bridge.Find(record.Target)?.Dispose();
        }
        catch (BridgeException)
        {
            // Left-overs are no reason not to do what was asked.
        }
    }
}
