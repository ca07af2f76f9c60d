using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A process that does not stand in time is let go, and stopped again a moment later, by the same thread.</summary>
public sealed class StopAgainTests(ITestOutputHelper output) : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    public void Dispose() => bench.Dispose();

    [Fact]
    public void Who_waits_for_a_child_of_vfork_stands_when_that_is_over()
    {
        // The child of a vfork does nothing until there is a file, and its parent cannot stand before.
        if (bench.Compile(
            """
            #include <signal.h>
            #include <stdio.h>
            #include <sys/prctl.h>
            #include <unistd.h>
            int main(int argc, char **argv)
            {
                FILE *pid = fopen(argv[3], "w");
                fprintf(pid, "%d\n", getpid());
                fclose(pid);
                for (int i = 1;; i++) {
                    if (vfork() == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        while (access(argv[2], F_OK) != 0)
                            usleep(1000);
                        _exit(0);
                    }
                    FILE *log = fopen(argv[1], "a");
                    fprintf(log, "%d\n", i);
                    fclose(log);
                    usleep(10000);
                }
            }
            """) is not { } program)
        {
            output.WriteLine("skipped: no gcc");
            return;
        }

        // Nobody's child here: the runtime waits for those, and takes away that one stands.
        using (System.Diagnostics.Process start = System.Diagnostics.Process.Start("setsid", ["-f", program, bench.PathOf("log"), bench.PathOf("go"), bench.PathOf("pid")]))
        {
            start.WaitForExit();
        }

        int parent = 0;
        SpaceFixture.Until(() => File.Exists(bench.PathOf("pid")) && int.TryParse(File.ReadAllText(bench.PathOf("pid")), out parent), "it runs");
        try
        {
            SpaceFixture.Until(() => ProcFs.Children(parent).Count == 1 && ProcessStat.TryRead(parent)?.State == 'D', "it waits for its child");
            using ICheckpoint checkpoint = bench.Bridge.BeginCheckpoint(PtraceBridge.TreeOf(parent));
            using IProcessCheckpoint process = checkpoint.Open(parent);
            for (int i = 0; i < 3; i++)
            {
                Assert.Equal("freeze.timeout", Assert.Throws<BridgeException>(() => process.Stop(TimeSpan.FromMilliseconds(20))).Code);
                process.Resume();
            }

            File.WriteAllText(bench.PathOf("go"), "");
            Assert.Equal(1, process.Stop(SpaceFixture.Patience));
            Assert.Equal('t', ProcessStat.Read(parent).State);
            process.Resume();
            Assert.Equal(0, ProcessStatus.TryRead(parent)?.Number("TracerPid"));
            bench.ExpectLines("log", 5);
        }
        finally
        {
            _ = Libc.kill(parent, 9);
        }
    }
}
