using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors.Checkpoint;

/// <summary>Runs one step against the bridge and turns what it throws into a message, or into a crash when nobody expected it.</summary>
internal static class StepRunner
{
    /// <summary>The bridge's code for a process that no longer exists.</summary>
    public const string ProcessGoneCode = "process.gone";

    public static object Run(int pid, string step, Func<object> call)
    {
        try
        {
            return call();
        }
        catch (BridgeException e) when (pid != 0 && e.Code == ProcessGoneCode)
        {
            return new ProcessGone(pid, e.Message);
        }
        catch (Exception e) when (e is BridgeException or SnapshotStoreException or IOException or UnauthorizedAccessException or OperationCanceledException)
        {
            return new StepFailed(pid, e);
        }
        catch (Exception e)
        {
            throw new ProcessStepException(pid, step, e);
        }
    }
}
