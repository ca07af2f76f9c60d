namespace Holdfast.Kmod.Tests;

/// <summary>The processes of an application that loads the interceptor meet in the kernel, and at the supervisor's socket, before the deadline: 16 of them when it is their turn (HOLDFAST_TURN), 256 with --long.</summary>
[Collection(nameof(Guests))]
public sealed class BarrierTests
{
    [KernelFact(turn: 3, of: 4)]
    public void All_processes_arrive_before_the_deadline_and_leave_again()
    {
        string directory = Directory.CreateTempSubdirectory("holdfast-barrier-").FullName;
        try
        {
            string program = Path.Combine(directory, "memory");
            CommandResult compiled = Shell.Run("cc", "-O1", "-pthread", "-o", program, Path.Combine(Shell.Root, "bench", "Kmod.Bench", "memory.c"));
            Assert.True(compiled.Status == 0, compiled.ToString());
            int processes = Turns.Long ? 256 : 16;
            CommandResult run = Shell.InGuest("barrier", Turns.Long ? 3600 : 600, ["--memory", "3000"], [], program, [$"{processes}x4", "2"]);
            Assert.True(run.Status == 0, run.ToString());
            Assert.Equal(
                ["device", "device", "ptrace", "ptrace"],
                run.Output.Split('\n').Select(row => row.Split('|', StringSplitOptions.TrimEntries)).Where(cells => cells.Length > 2 && cells[2] == $"{processes}").Select(cells => cells[1]));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
