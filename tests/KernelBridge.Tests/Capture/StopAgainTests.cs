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
            #include <stdio.h>
            #include <unistd.h>
            int main(int argc, char **argv)
            {
                for (int i = 1;; i++) {
                    if (vfork() == 0) {
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

        using System.Diagnostics.Process parent = System.Diagnostics.Process.Start(program, [bench.PathOf("log"), bench.PathOf("go")]);
        try
        {
            SpaceFixture.Until(() => ProcFs.Children(parent.Id).Count == 1 && ProcessStat.TryRead(parent.Id)?.State == 'D', "it waits for its child");
            using ICheckpoint checkpoint = bench.Bridge.BeginCheckpoint(PtraceBridge.TreeOf(parent.Id));
            using IProcessCheckpoint process = checkpoint.Open(parent.Id);
            for (int i = 0; i < 3; i++)
            {
                Assert.Equal("freeze.timeout", Assert.Throws<BridgeException>(() => process.Stop(TimeSpan.FromMilliseconds(20))).Code);
                process.Resume();
            }

            File.WriteAllText(bench.PathOf("go"), "");
            Assert.Equal(1, process.Stop(SpaceFixture.Patience));
            Assert.Equal('t', ProcessStat.Read(parent.Id).State);
            process.Resume();
            Assert.Equal(0, ProcessStatus.TryRead(parent.Id)?.Number("TracerPid"));
            bench.ExpectLines("log", 5);
        }
        finally
        {
            parent.Kill();
        }
    }
}
