using System.Diagnostics;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A tracer that dies between any two of its ptrace calls leaves the target as it was: registers, extended state, signal mask, alternate stack.</summary>
public sealed class InjectedCallsTests(ITestOutputHelper output)
{
    // Every round checks what a spoilt return would have changed; the pattern lies in registers only while the loop spins.
    private const string Program =
        """
        #include <signal.h>
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        static char alternate[65536];
        int main(void) {
            setvbuf(stdout, 0, _IOLBF, 0);
            stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate }, now;
            sigaltstack(&stack, 0);
            sigset_t blocked, mask;
            sigemptyset(&blocked);
            sigaddset(&blocked, SIGUSR2);
            sigprocmask(SIG_SETMASK, &blocked, 0);
            int avx = __builtin_cpu_supports("avx");
            for (unsigned long round = 1;; round++) {
                unsigned char in[32], out[32];
                memset(in, (int)round, sizeof in);
                memset(out, 0, sizeof out);
                unsigned long count = 300000, r12 = round, r15 = ~round;
                register unsigned long a asm("r12") = r12, b asm("r15") = r15;
                if (avx) asm volatile("vmovdqu (%3), %%ymm9\n1: dec %0\njnz 1b\nvmovdqu %%ymm9, (%4)" : "+r"(count), "+r"(a), "+r"(b) : "r"(in), "r"(out) : "xmm9", "memory");
                else asm volatile("movdqu (%3), %%xmm9\nmovdqu %%xmm9, 16(%4)\n1: dec %0\njnz 1b\nmovdqu %%xmm9, (%4)" : "+r"(count), "+r"(a), "+r"(b) : "r"(in), "r"(out) : "xmm9", "memory");
                if (memcmp(in, out, sizeof in) || a != r12 || b != r15 || count) return 1;
                if (sigaltstack(0, &now) || now.ss_sp != alternate || now.ss_size != sizeof alternate || now.ss_flags) return 2;
                if (sigprocmask(SIG_SETMASK, 0, &mask) || memcmp(&mask, &blocked, 8)) return 3;
                if (round % 5 == 0) usleep(500);
                printf("%lu\n", round);
            }
        }
        """;

    [Fact]
    public void A_target_survives_its_tracer_at_every_call()
    {
        using var bench = new Bench(new PtraceBridge());
        if (Tools.Find("strace") is null || bench.Compile(Program) is not { } program)
        {
            output.WriteLine("skipped: no strace or no compiler");
            return;
        }

        Random random = new(Tools.Seed(output));
        using Process target = Process.Start(new ProcessStartInfo("sh", ["-c", $"exec {program} >{bench.PathOf("log")}"]))!;
        try
        {
            bench.ExpectLines("log", 2);
            Assert.Equal(0, Inject(target.Id, null));
            int[] moments = [.. Enumerable.Range(1, 31)];
            if (Tools.Count(0, 1) == 0)
            {
                random.Shuffle(moments);
                moments = moments[..12];
            }

            int killed = 0;
            foreach (int moment in moments)
            {
                killed += Inject(target.Id, moment) != 0 ? 1 : 0;
                Health.AssertRuns(target.Id, mayBlock: 1ul << 11);
                bench.ExpectLines("log", 6);
                Assert.False(target.HasExited);
            }

            output.WriteLine($"{killed} of {moments.Length} tracers killed");
            Assert.True(killed >= moments.Length / 2, $"only {killed} tracers were killed");
            string[] lines = bench.Lines("log");
            Assert.Equal(Enumerable.Range(1, lines.Length).Select(n => $"{n}"), lines);
        }
        finally
        {
            target.Kill();
            target.WaitForExit();
        }
    }

    [Fact]
    public void What_a_thread_answers_all_at_once_is_what_it_answers_one_by_one_and_it_survives_its_tracer()
    {
        using var bench = new Bench(new PtraceBridge());
        if (Tools.Find("strace") is null || bench.Compile(Asked) is not { } program)
        {
            output.WriteLine("skipped: no strace or no compiler");
            return;
        }

        using Process target = Process.Start(new ProcessStartInfo(program, [bench.PathOf("rounds")]))!;
        try
        {
            bench.Expect("rounds");
            Assert.Equal(0, HelperProcess.RunTracer(null, "ask-state", $"{target.Id}", bench.PathOf("singly"), "singly"));
            string singly = File.ReadAllText(bench.PathOf("singly"));
            Assert.Contains("death 10 slack 123456", singly, StringComparison.Ordinal);
            Assert.Contains("subreaper True thp True", singly, StringComparison.Ordinal);
            Assert.Contains("interval 3600000000", singly, StringComparison.Ordinal);
            Assert.Equal(0, HelperProcess.RunTracer(null, "ask-state", $"{target.Id}", bench.PathOf("at once")));
            Assert.Equal(singly, File.ReadAllText(bench.PathOf("at once")));

            int killed = 0;
            for (int moment = 1; moment <= 20; moment++)
            {
                killed += HelperProcess.RunTracer(moment, "ask-state", $"{target.Id}", bench.PathOf("killed")) != 0 ? 1 : 0;
                Health.AssertRuns(target.Id, mayBlock: 1ul << 11);
                long rounds = new FileInfo(bench.PathOf("rounds")).Length;
                Assert.True(SpinWait.SpinUntil(() => target.HasExited || new FileInfo(bench.PathOf("rounds")).Length > rounds + 1, TimeSpan.FromSeconds(30)));
                Assert.False(target.HasExited, target.HasExited ? $"after the tracer died at its call {moment}, the program ended with {target.ExitCode}" : null);
            }

            output.WriteLine($"{killed} of 20 tracers killed");
            Assert.True(killed >= 10, $"only {killed} tracers were killed");
        }
        finally
        {
            target.Kill();
            target.WaitForExit();
        }
    }

    private const string Asked =
        """
        #include <errno.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/prctl.h>
        #include <sys/time.h>
        #include <unistd.h>
        #include <fcntl.h>
        int main(int count, char **words) {
            static char alternate[65536];
            stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate }, now;
            sigaltstack(&stack, 0);
            sigset_t blocked, mask;
            sigemptyset(&blocked);
            sigaddset(&blocked, SIGUSR2);
            sigprocmask(SIG_SETMASK, &blocked, 0);
            prctl(PR_SET_PDEATHSIG, 10, 0, 0, 0);
            prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0);
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
            prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
            struct itimerval hour = { .it_interval = { 3600, 0 }, .it_value = { 3600, 0 } };
            setitimer(ITIMER_REAL, &hour, 0);
            int log = open(words[1], O_CREAT | O_WRONLY, 0644);
            for (;;) {
                if (sigaltstack(0, &now) || now.ss_sp != alternate || sigprocmask(SIG_SETMASK, 0, &mask) || !sigismember(&mask, SIGUSR2) || sigismember(&mask, SIGTERM)) return 1;
                if (usleep(2000) && errno != EINTR) return 2;
                if (write(log, ".", 1) != 1) return 3;
            }
        }
        """;

    /// <summary>Runs the tracer; killed at the given one of its ptrace calls.</summary>
    private static int Inject(int pid, int? moment) =>
        HelperProcess.RunTracer(moment, "inject-once", $"{pid}");
}
