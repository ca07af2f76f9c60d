using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

/// <summary>What tests of spaces let a second process do.</summary>
public static unsafe class SpaceHelpers
{
    /// <summary>A supervisor in the middle of a checkpoint: watches, freezes, and never thaws. Arguments: socket, group.</summary>
    public static int ArmAndFreeze(string[] args)
    {
        using InitClient client = InitClient.Connect(args[0]);
        client.Arm(TimeSpan.FromHours(1));
        Say(CgroupFreezer.Freeze(args[1], TimeSpan.FromSeconds(10)).Count == 0 ? "frozen" : "not frozen");
        return Hang();
    }

    /// <summary>A supervisor that dies before it commits. Argument: the state directory.</summary>
    public static int StartUncommitted(string[] args)
    {
        using SpaceHandle handle = Space.Start(Request(args[0], ["sleep", "1000"]));
        Say(JsonSerializer.Serialize(handle.Target));
        Say(handle.MainPid.ToString(CultureInfo.InvariantCulture));
        return Hang();
    }

    /// <summary>A supervisor that dies while its application runs. Arguments: the state directory, the command.</summary>
    public static int Launch(string[] args)
    {
        using SpaceHandle handle = Space.Start(Request(args[0], args[1..]));
        using IRunningApplication application = handle.HandOver();
        application.Keep();
        Say(JsonSerializer.Serialize(application.Target));
        return Hang();
    }

    /// <summary>A supervisor in a terminal's foreground. Arguments: the state directory, the command. Ends as the application does.</summary>
    public static int RunInForeground(string[] args)
    {
        // As a shell does while its foreground job runs: what the terminal sends is for the application.
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c => c.Cancel = true);
        try
        {
            using SpaceHandle handle = Space.Start(Request(args[0], args[1..]) with { StandardStreams = [0, 1, 2] });
            using IRunningApplication application = handle.HandOver();
            return application.Exited.GetAwaiter().GetResult();
        }
        catch (BridgeException e)
        {
            Say(e.Code);
            return 125;
        }
    }

    /// <summary>Asks an init for its status. 0: it answered; 9: it would not.</summary>
    public static int AskInit(string[] args)
    {
        try
        {
            using InitClient client = InitClient.Connect(args[0]);
            client.Status();
            return 0;
        }
        catch (BridgeException e) when (e.Code == "init.gone")
        {
            return 9;
        }
    }

    /// <summary>A thread that no freezer can stop: it reads a file into a page whose fault nobody answers. See userfaultfd(2).</summary>
    public static int StuckRead(string[] args)
    {
        const long Userfaultfd = 323;
        const nuint ApiRequest = 0xc018aa3f, RegisterRequest = 0xc020aa00;
        int fd = (int)Syscall(Userfaultfd, 0x80000, 0, 0, 0, 0, 0);
        ulong* api = stackalloc ulong[] { 0xaa, 0, 0 };
        byte* page = (byte*)Syscall(9, 0, 4096, 3, 0x22, -1, 0);
        ulong* register = stackalloc ulong[] { (ulong)page, 4096, 1, 0 };
        if (SpaceNative.Ioctl(fd, ApiRequest, api) < 0 || SpaceNative.Ioctl(fd, RegisterRequest, register) < 0)
        {
            return 1;
        }

        File.WriteAllText(args[0], "reading");
        using FileStream file = File.OpenRead("/proc/self/exe");
        SpaceNative.PRead((int)file.SafeFileHandle.DangerousGetHandle(), page, 16, 0);
        return 2;
    }

    private static SpaceRequest Request(string stateDirectory, string[] command) => new()
    {
        Mode = SpaceMode.Run,
        Name = "helped",
        StateDirectory = stateDirectory,
        Command = command,
        Environment = ["PATH=/usr/bin:/bin"],
        // Not the helper's: the pipe that the test reads would stay open in the application.
        StandardStreams = [Null, Null, Null],
    };

    private static int Null { get; } = SpaceNative.Open("/dev/null", SpaceNative.O_RDWR | SpaceNative.O_CLOEXEC);

    private static void Say(string line)
    {
        Console.WriteLine(line);
        Console.Out.Flush();
    }

    private static int Hang()
    {
        Thread.Sleep(Timeout.Infinite);
        return 0;
    }

    [DllImport("libc", EntryPoint = "syscall")]
    private static extern long Syscall(long number, long a, long b, long c, long d, long e, long f);
}
