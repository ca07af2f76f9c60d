using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Signals that arrive while the application stands.</summary>
public sealed class JobControlTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void A_stop_that_arrives_meanwhile_takes_effect_afterwards()
    {
        IRunningApplication application = Threads();
        bench.Checkpoint(application, standing: () => Signal(application, Libc.SIGSTOP));
        SpaceFixture.Until(() => ProcessStat.Read(application.MainPid).State == 'T', "stopped");
        Assert.Equal(0, ProcessStatus.Read(application.MainPid).Number("TracerPid"));
        Signal(application, Libc.SIGCONT);
        bench.ExpectLines("log", 10);
        Health.AssertRuns(application.MainPid);
    }

    [Fact]
    public void A_stop_that_is_taken_back_meanwhile_has_no_effect()
    {
        IRunningApplication application = Threads();
        for (int i = 0; i < 5; i++)
        {
            bench.Checkpoint(application, standing: () =>
            {
                Signal(application, Libc.SIGSTOP);
                Signal(application, Libc.SIGCONT);
            });
            bench.ExpectLines("log", 5);
            Health.AssertRuns(application.MainPid);
        }
    }

    [Fact]
    public void Queued_signals_come_once_each_with_their_values_and_in_order()
    {
        if (bench.Compile(
            """
            #include <fcntl.h>
            #include <signal.h>
            #include <stdio.h>
            #include <unistd.h>
            static void note(int number, siginfo_t *info, void *context) { char line[64]; write(3, line, sprintf(line, "%d %d\n", number, info->si_code)); }
            int main(void) {
                struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
                sigfillset(&action.sa_mask);
                for (int number = 34; number < 40; number++) sigaction(number, &action, 0);
                sigaction(SIGUSR1, &action, 0);
                open("log", O_CREAT | O_WRONLY | O_APPEND, 0644);
                write(3, "ready\n", 6);
                for (;;) pause();
            }
            """) is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        SpaceFixture.Until(() => bench.Lines("log").Length == 1, "ready");
        bench.Checkpoint(application, standing: () =>
        {
            for (int i = 0; i < 7; i++)
            {
                Signal(application, 34 + i % 2);
            }

            Signal(application, 10);
        });
        SpaceFixture.Until(() => bench.Lines("log").Length >= 9, "all signals");
        bench.Checkpoint(application);
        Assert.Equal(["ready", "10 0", .. Enumerable.Repeat("34 0", 4), .. Enumerable.Repeat("35 0", 3)], bench.Lines("log"));
    }

    public void Dispose() => bench.Dispose();

    private static void Signal(IRunningApplication application, int signal) => Assert.Equal(0, Libc.kill(application.MainPid, signal));

    private IRunningApplication Threads()
    {
        IRunningApplication application = bench.Python(
            """
            import os, threading, time
            def rest():
                while True: time.sleep(0.003)
            for _ in range(3): threading.Thread(target=rest, daemon=True).start()
            with open(os.environ['OUT'] + '/log', 'a') as log:
                while True: print('line', file=log, flush=True); time.sleep(0.002)
            """);
        bench.ExpectLines("log", 5);
        return application;
    }
}
