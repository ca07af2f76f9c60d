using System.Text.Json;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A tracer that dies between any two of its ptrace calls, while a process takes messages out of a queue and puts them back, takes nothing away and leaves nothing.</summary>
public sealed class PosixQueueContentsTests(ITestOutputHelper output) : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void Messages_stay_where_they_are_whenever_the_tracer_dies()
    {
        if (Tools.Find("strace") is null)
        {
            output.WriteLine("skipped: no strace");
            return;
        }

        IRunningApplication application = bench.Python(
            """
            import ctypes, os, time
            out = os.environ['OUT']
            l = ctypes.CDLL('librt.so.1', use_errno=True)
            def must(result):
                if result == -1: raise OSError(ctypes.get_errno(), 'queue')
                return result
            q = must(l.mq_open(b'/q', 0o102, 0o600, None))
            for i in range(9): must(l.mq_send(q, b'message' * i, 7 * i, i % 3))
            def state():
                a = (ctypes.c_long * 8)(); must(l.mq_getattr(q, a))
                with open('/proc/self/maps') as maps: lines = [line for line in maps if '[heap]' not in line]
                return a[3], sorted(os.listdir('/proc/self/fd')), lines
            state(); before = state(); round = 0
            while not os.path.exists(out + '/go'):
                now = state(); round += 1
                if now != before: break
                with open(out + '/log', 'a') as log: print('round', round, file=log)
                time.sleep(0.005)
            with open(out + '/end', 'w') as end:
                if now != before: print(now, 'was', before, file=end)
                else:
                    b = ctypes.create_string_buffer(8192); p = ctypes.c_uint()
                    for i in range(9): n = must(l.mq_receive(q, b, 8192, ctypes.byref(p))); print(p.value, n // 7, end=' ', file=end)
            os.rename(out + '/end', out + '/result')
            while True: time.sleep(1)
            """);
        bench.ExpectLines("log", 2);
        Random random = new(Tools.Seed(output));
        string target = JsonSerializer.Serialize(application.Target);
        int every = Tools.Count(9, 1);
        int moment = 1 + random.Next(every);
        for (; HelperProcess.RunTracer(moment, "checkpoint-once", target) != 0; moment += every)
        {
            Assert.False(File.Exists(bench.PathOf("result")), $"after a death at call {moment}: {(File.Exists(bench.PathOf("result")) ? File.ReadAllText(bench.PathOf("result")) : "")}");
            bench.ExpectLines("log", 2);
        }

        output.WriteLine($"{moment} calls");
        Assert.True(moment > 60);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.Expect("result");
        Assert.Equal("2 2 2 5 2 8 1 1 1 4 1 7 0 0 0 3 0 6", File.ReadAllText(bench.PathOf("result")).Trim());
    }

    public void Dispose() => bench.Dispose();
}
