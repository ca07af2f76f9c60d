using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Where calls are injected: only on memory that nobody uses, since what a dead tracer overwrote stays overwritten.</summary>
public sealed class StackRoomTests
{
    private const string Program =
        """
        #include <fcntl.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        static char alternate[65536];
        static void *sleeps(void *nothing) {
            stack_t mine = { .ss_sp = malloc(65536), .ss_size = 65536 }, now;
            for (sigaltstack(&mine, 0);; usleep(20000)) if (sigaltstack(0, &now) || now.ss_sp != mine.ss_sp) _exit(2);
        }
        static void wait_there(int number) { close(open("ready", O_CREAT | O_WRONLY, 0644)); while (access("go", F_OK)) usleep(5000); usleep(100000); }
        static void descend(int depth) {
            volatile char room[4096];
            memset((char *)room, 0x5a, sizeof room);
            if (depth > 0) descend(depth - 1);
            else {
                // As near as anything may be mapped: the kernel keeps 256 pages free below a stack.
                if (BLOCKED) mmap((char *)room - 262 * 4096ul, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (DEEP) raise(SIGUSR1);
            }
            for (unsigned i = 0; i < sizeof room; i++) if (room[i] != 0x5a) _exit(1);
        }
        int main(void) {
            for (int i = 0; i < THREADS; i++) { pthread_t thread; pthread_create(&thread, 0, sleeps, 0); }
            stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
            sigaltstack(&stack, 0);
            struct sigaction action = { .sa_handler = wait_there, .sa_flags = SA_ONSTACK };
            sigaction(SIGUSR1, &action, 0);
            descend(DEEP ? 300 : 0);
            if (!DEEP) raise(SIGUSR1);
            _exit(0);
        }
        """;

    /// <summary>Many threads answer side by side where a shallow stack leaves room for them, and by turns in the room that a deep one is made to grow by.</summary>
    [Theory]
    [InlineData(false, 1)]
    [InlineData(false, 80)]
    [InlineData(true, 1)]
    [InlineData(true, 80)]
    public void A_thread_on_an_alternate_stack_is_captured_again_and_again_whatever_it_has_left_on_the_main_one(bool deep, int others)
    {
        using Bench bench = new(new PtraceBridge());
        if (bench.Compile(Program, flags: [deep ? "-DDEEP=1" : "-DDEEP=0", "-DBLOCKED=0", $"-DTHREADS={others}"]) is not { } program)
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

    [Fact]
    public void A_deep_stack_that_cannot_grow_is_not_touched()
    {
        using Bench bench = new(new PtraceBridge());
        if (bench.Compile(Program, flags: ["-DDEEP=1", "-DBLOCKED=1", "-DTHREADS=1"]) is not { } program)
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
}
