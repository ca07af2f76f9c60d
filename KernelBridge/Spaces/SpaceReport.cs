using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>What a space says about itself while it comes up: <c>struct report</c> of <c>init.c</c>, until the pipe ends.</summary>
internal sealed class SpaceReport
{
    private const int RecordSize = 16;
    private const uint InitKind = 1, MainKind = 2, ErrorKind = 3;
    private const int MountProcStage = 8, CloneMainStage = 12, ChangeDirectoryStage = 14, ExecStage = 16;

    /// <summary>The init's pid as the starter sees it; 0 when it was not reported.</summary>
    public int InitPid { get; private set; }

    /// <summary>The main process's pid as the init sees it; for a stub without a space, as we see it. 0 when it was not reported.</summary>
    public int MainPid { get; private set; }

    /// <summary>The stage that failed, 0 for none.</summary>
    public int FailedStage { get; private set; }

    /// <summary>Its errno.</summary>
    public int Error { get; private set; }

    /// <summary>Whether the pipe ended in time.</summary>
    public bool Complete { get; private set; }

    /// <summary>Reads records until every writer is gone, or what is waited for has come.</summary>
    /// <param name="pipe">The read end.</param>
    /// <param name="untilMain">True: only until both pids are known, or a failure is.</param>
    /// <param name="deadline">How long at most.</param>
    public unsafe void Read(SafeFileHandle pipe, bool untilMain, TimeSpan deadline)
    {
        long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
        byte* record = stackalloc byte[RecordSize];
        while (!Complete && !(untilMain && (FailedStage != 0 || (InitPid != 0 && MainPid != 0))))
        {
            if (Descriptors.Wait(Descriptors.Number(pipe), -1, POLLIN, TimeSpan.FromMilliseconds(Math.Max(0, end - Environment.TickCount64))) == 0)
            {
                return;
            }

            // Writes of this size are atomic (PIPE_BUF), so that reads get whole records.
            nint n = SpaceNative.Read(Descriptors.Number(pipe), record, RecordSize);
            if (n < 0 && Marshal.GetLastPInvokeError() == EINTR)
            {
                continue;
            }

            if (n != RecordSize)
            {
                Complete = n == 0;
                return;
            }

            Add(new ReadOnlySpan<byte>(record, RecordSize));
        }
    }

    /// <summary>The failure in words.</summary>
    /// <param name="program">The program that was to be run.</param>
    /// <param name="directory">Its working directory.</param>
    /// <param name="wantedPid">The pid that was asked for.</param>
    public BridgeException Failure(string program, string directory, int wantedPid)
    {
        string why = Describe(Error);
        return (FailedStage, Error) switch
        {
            (0, _) when !Complete => new BridgeException("space.timeout", "starting the space", "it did not come up in time"),
            (0, _) => new BridgeException("space.start", "starting the space", "its init ended before it was up"),
            (ExecStage, ENOENT) => new BridgeException(CommandPath.NotFound, program, why, "check the path, and the interpreter that its first line names"),
            (ExecStage, _) => new BridgeException(CommandPath.NotExecutable, program, why),
            (ChangeDirectoryStage, _) => new BridgeException(
                "launch.directory", $"working directory {directory}", why,
                directory.StartsWith("/dev/shm", StringComparison.Ordinal) ? "leave shm out of what is isolated (--isolate pid,mount,uts,ipc,time)" : string.Empty),
            (CloneMainStage, EEXIST) => new BridgeException(
                "restore.pid-taken", $"pid {wantedPid}", "another process has it", "restore into a pid namespace of its own, or end that process"),
            (MountProcStage, _) when Authority.Own.IsOfNamespace => Hidden(Error),
            _ => new BridgeException("space.start", $"starting the space: {StageName(FailedStage)}", why),
        };
    }

    private static BridgeException Hidden(int error)
    {
        (string why, string remedy) = UserNamespace.Explain(UserNamespace.MountProcStep, error)!.Value;
        return new BridgeException(Capabilities.Missing, "starting the space: mounting /proc", why, remedy);
    }

    private static string StageName(int stage) => stage switch
    {
        1 => "reading its configuration",
        2 => "making its namespaces",
        3 => "setting its clocks",
        4 => "joining the init's cgroup",
        5 => "cloning its init",
        6 => "making its session",
        7 => "separating its mounts",
        8 => "mounting /proc",
        9 => "setting its hostname",
        10 => "bringing up its loopback interface",
        11 => "preparing its events",
        12 => "cloning its main process",
        13 => "joining the application's cgroup",
        15 => "placing descriptors",
        17 => "mounting /dev/shm",
        18 => "giving up the rights of its supervisor",
        _ => $"stage {stage}",
    };

    private void Add(ReadOnlySpan<byte> record)
    {
        long value = BinaryPrimitives.ReadInt64LittleEndian(record[8..]);
        switch (BinaryPrimitives.ReadUInt32LittleEndian(record))
        {
            case InitKind:
                InitPid = (int)value;
                break;
            case MainKind:
                MainPid = (int)value;
                break;
            case ErrorKind when FailedStage == 0:
                FailedStage = (int)BinaryPrimitives.ReadUInt32LittleEndian(record[4..]);
                Error = (int)value;
                break;
        }
    }
}
