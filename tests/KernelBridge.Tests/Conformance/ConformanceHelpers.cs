using System.Text.Json;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Supervisors that tests kill: the helper processes of this suite.</summary>
public static class ConformanceHelpers
{
    /// <summary>Takes one checkpoint, and begins to track writes with it. Argument: the target.</summary>
    public static int CheckpointOnce(string[] args)
    {
        Driver.Checkpoint(new PtraceBridge(), JsonSerializer.Deserialize<ApplicationTarget>(args[0])!, new MemoryPages(), WriteTracking.On);
        return 0;
    }

    /// <summary>Takes one checkpoint after the other, each the base of the next. Argument: the target.</summary>
    public static int CheckpointForever(string[] args)
    {
        ApplicationTarget target = JsonSerializer.Deserialize<ApplicationTarget>(args[0])!;
        PtraceBridge bridge = new();
        MemoryPages? last = null;
        Say("ready");
        while (true)
        {
            last = Driver.Checkpoint(bridge, target, new MemoryPages { Parent = last }, WriteTracking.On).Pages;
            Say("taken");
        }
    }

    /// <summary>Takes a checkpoint through the device and halts in it for good. Arguments: after what ("prepare", "quiesce", "locate", "capture", "resume"), the target.</summary>
    public static int HaltInCheckpoint(string[] args)
    {
        Driver.Checkpoint(
            new CharDeviceBridge(new PtraceBridge()), JsonSerializer.Deserialize<ApplicationTarget>(args[1])!, new MemoryPages(), WriteTracking.Off,
            passed: phase =>
            {
                if (phase == args[0])
                {
                    Say(phase);
                    Thread.Sleep(Timeout.Infinite);
                }
            });
        return 1;
    }

    /// <summary>Restores again and again, killing what it restored. Arguments: image, pages, directory.</summary>
    public static int RestoreForever(string[] args)
    {
        Taken taken = new(File.ReadAllBytes(args[0]), MemoryPages.Load(args[1]));

        // No directory of its own: it would outlive the kill.
        int nowhere = Linux.Libc.open("/dev/null", Linux.Libc.O_RDWR | Linux.Libc.O_CLOEXEC, 0);
        PtraceBridge bridge = new();
        Say("ready");
        for (int i = 0; ; i++)
        {
            string state = Directory.CreateDirectory(Path.Combine(args[2], $"{Environment.ProcessId}-{i}")).FullName;
            using IRunningApplication application = Driver.Restore(bridge, taken, state, [nowhere, nowhere, nowhere]);
            Say(JsonSerializer.Serialize(application.Target));
            application.Kill();
        }
    }

    private static void Say(string line)
    {
        Console.Out.WriteLine(line);
        Console.Out.Flush();
    }
}
