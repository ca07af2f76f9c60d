namespace Holdfast.KernelBridge.Tests;

/// <summary>
/// The test assembly run as a program: a second process for the tests that need one, for example to kill it. The first argument names the
/// helper. Run by the test platform, this is never called.
/// </summary>
public static class Program
{
    private static readonly Dictionary<string, Func<string[], int>> helpers = new()
    {
        ["arm-and-freeze"] = Spaces.SpaceHelpers.ArmAndFreeze,
        ["start-uncommitted"] = Spaces.SpaceHelpers.StartUncommitted,
        ["launch"] = Spaces.SpaceHelpers.Launch,
        ["run"] = Spaces.SpaceHelpers.RunInForeground,
        ["ask-init"] = Spaces.SpaceHelpers.AskInit,
        ["inject-once"] = Capture.CaptureHelpers.InjectOnce,
        ["ask-state"] = Capture.CaptureHelpers.AskState,
        ["ask-eventfds"] = Capture.CaptureHelpers.AskEventFds,
        ["copy-terminal-output"] = Capture.CaptureHelpers.CopyTerminalOutput,
        ["count-requests"] = Capture.CaptureHelpers.CountRequests,
        ["copy-terminal-input"] = Capture.CaptureHelpers.CopyTerminalInput,
        ["checkpoint-once"] = Conformance.ConformanceHelpers.CheckpointOnce,
        ["checkpoint-forever"] = Conformance.ConformanceHelpers.CheckpointForever,
        ["halt-in-checkpoint"] = Conformance.ConformanceHelpers.HaltInCheckpoint,
        ["restore-forever"] = Conformance.ConformanceHelpers.RestoreForever,
        ["device-conformance"] = Conformance.ConformanceRunner.Run,
        ["state-programs"] = Conformance.StateProgramRunner.Run,
        ["stuck-read"] = Spaces.SpaceHelpers.StuckRead,
    };

    public static int Main(string[] args) => helpers[args[0]](args[1..]);
}
