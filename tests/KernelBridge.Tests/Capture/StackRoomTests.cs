using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Where calls are injected: only on memory that nobody uses, since what a dead tracer overwrote stays overwritten.</summary>
public sealed class StackRoomTests : IDisposable
{
    private const string Program =
        """
        #include <fcntl.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        static char alternate[65536];
        static void *sleeps(void *nothing) { for (;;) sleep(1000); }
        static void wait_there(int number) { close(open("ready", O_CREAT | O_WRONLY, 0644)); while (access("go", F_OK)) usleep(5000); }
        static void descend(int depth) {
            volatile char room[4096];
            memset((char *)room, 0x5a, sizeof room);
            if (depth > 0) descend(depth - 1);
            else if (DEEP) raise(SIGUSR1);
            for (unsigned i = 0; i < sizeof room; i++) if (room[i] != 0x5a) _exit(1);
        }
        int main(void) {
            pthread_t thread;
            pthread_create(&thread, 0, sleeps, 0);
            stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
            sigaltstack(&stack, 0);
            struct sigaction action = { .sa_handler = wait_there, .sa_flags = SA_ONSTACK };
            sigaction(SIGUSR1, &action, 0);
            descend(DEEP ? 300 : 0);
            if (!DEEP) raise(SIGUSR1);
            _exit(0);
        }
        """;

    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void A_deep_stack_that_its_thread_has_left_for_an_alternate_one_is_not_touched()
    {
        if (bench.Compile(Program, flags: "-DDEEP=1") is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        bench.Expect("ready");
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Checkpoint(application));
        Assert.Equal("inject.stack", refused.Code);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        Assert.Equal(0, Bench.Finish(application));
    }

    [Fact]
    public void A_thread_on_an_alternate_stack_above_an_unused_low_end_is_captured_again_and_again()
    {
        if (bench.Compile(Program, flags: "-DDEEP=0") is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        bench.Expect("ready");
        for (int i = 0; i < 3; i++)
        {
            application = bench.Reincarnate(application);
        }

        File.WriteAllText(bench.PathOf("go"), string.Empty);
        Assert.Equal(0, Bench.Finish(application));
    }

    public void Dispose() => bench.Dispose();
}
