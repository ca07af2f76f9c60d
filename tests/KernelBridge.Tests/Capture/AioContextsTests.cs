using System.Text.Json.Nodes;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>To find out that nothing is in flight leaves a ring as it was, whoever dies meanwhile; and what is in flight is refused.</summary>
public sealed class AioContextsTests(ITestOutputHelper output) : IDisposable
{
    private const string Calls =
        """
        import ctypes, os, struct, sys, time
        libc = ctypes.CDLL(None, use_errno=True)
        def setup(count):
            c = ctypes.c_ulong(0); assert libc.syscall(206, count, ctypes.byref(c)) == 0
            return c.value
        def submit(context, data, operation, fd, buffer=0, length=0):
            request = ctypes.create_string_buffer(struct.pack("QIIHhIQQqQII", data, 0, 0, operation, 0, fd, buffer, length, 0, 0, 0, 0))
            kept.append(request)
            return libc.syscall(209, ctypes.c_ulong(context), 1, ctypes.byref(ctypes.c_void_p(ctypes.addressof(request))))
        def take(context, least, most, limit=None):
            events = ctypes.create_string_buffer(32 * most)
            n = libc.syscall(208, ctypes.c_ulong(context), least, most, events, limit)
            return [struct.unpack_from("QQqq", events, 32 * i)[0::2] for i in range(n)]
        kept = []
        zero = os.open("/dev/zero", os.O_RDONLY)
        room = ctypes.create_string_buffer(64)
        def read(context, data): assert submit(context, data, 0, zero, ctypes.addressof(room), data % 64) == 1

        """;

    private const string Watched =
        Calls +
        """
        out = sys.argv[1]
        context, empty = setup(8), setup(300)
        for i in range(125):
            read(context, i); take(context, 1, 1)
        for i in range(5): read(context, 70 + i)
        def state():
            with open("/proc/self/maps") as maps: lines = [line for line in maps if "[heap]" not in line]
            return sorted(os.listdir("/proc/self/fd")), lines, os.sched_getaffinity(0)
        state()
        before = state()
        open(out + "/ready", "w").close()
        while not os.path.exists(out + "/go"): time.sleep(0.005)
        after = state()
        read(context, 75)
        found = take(context, 6, 100)
        slots = 0
        while submit(empty, 1, 0, zero) == 1: slots += 1
        try: os.waitpid(-1, 0); found = "a child is left"
        except ChildProcessError: pass
        with open(out + "/end", "w") as end: end.write(f"{found} {slots >= 300}" if after == before else f"{before} became {after}")
        os.rename(out + "/end", out + "/result")
        """;

    private const string Found = "[(70, 6), (71, 7), (72, 8), (73, 9), (74, 10), (75, 11)] True";

    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void A_ring_is_as_it_was_whenever_the_tracer_dies()
    {
        using WatchedProgram? target = WatchedProgram.TryStart(bench, output, Watched);
        if (target is null)
        {
            return;
        }

        Random random = new(Tools.Seed(output));
        int every = Tools.Count(7, 1);
        int moment = 1 + random.Next(every);
        for (; Count(target.Pid, moment) != 0; moment += every)
        {
            Health.AssertRuns(target.Pid);
            Assert.Equal(0, Count(target.Pid, null));
            Assert.Contains(" 70 71 72 73 74", File.ReadAllText(bench.PathOf("found")), StringComparison.Ordinal);
        }

        output.WriteLine($"{moment} calls");
        Assert.True(moment > 60);
        Assert.Equal(Found, target.Result());
    }

    [Fact]
    public void What_is_in_flight_is_refused_and_ends_as_if_nothing_had_been_asked()
    {
        IRunningApplication application = bench.Python(
            Calls +
            """
            out = os.environ['OUT']
            context = setup(8)
            r, w = os.pipe()
            for i in range(3): read(context, i)
            assert submit(context, 7, 5, r, 1) == 1
            open(out + '/ready', 'w').close()
            while not os.path.exists(out + '/go'): time.sleep(0.005)
            os.write(w, b'x')
            found = repr(take(context, 4, 10))
            with open(out + '/end', 'w') as f: f.write(found)
            os.rename(out + '/end', out + '/result')
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Checkpoint(application));
        Assert.Equal(AioContexts.Code, refused.Code);
        Assert.Contains("1 requests are in flight", refused.ToString(), StringComparison.Ordinal);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.Expect("result");
        Assert.Equal("[(0, 0), (1, 1), (2, 2), (7, 65)]", File.ReadAllText(bench.PathOf("result")));
        bench.Checkpoint(application);
    }

    [Fact]
    public void A_ring_that_a_child_has_inherited_is_refused()
    {
        IRunningApplication application = bench.Python(
            Calls +
            """
            out = os.environ['OUT']
            context = setup(8)
            if os.fork() == 0: time.sleep(1000)
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        Assert.Equal([AioContexts.Code], bench.RefusalsOf(application));
    }

    [Fact]
    public void A_ring_whose_context_has_ended_with_a_parent_is_refused()
    {
        IRunningApplication application = bench.Python(
            Calls +
            """
            out = os.environ['OUT']
            if os.fork() == 0:
                context = setup(8)
                if os.fork() == 0:
                    time.sleep(1000)
                os._exit(0)
            os.wait()
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        Assert.Equal([AioContexts.Code], bench.RefusalsOf(application));
    }

    public static TheoryData<string, Action<JsonObject>> Impossible => new()
    {
        { "a place that the ring has not", memory => Context(memory)["Head"] = 127 },
        { "half an event", memory => Context(memory)["Events"] = Convert.ToBase64String(new byte[33]) },
        { "more events than places", memory => Context(memory)["Events"] = Convert.ToBase64String(new byte[127 * 32]) },
        { "another address", memory => Context(memory)["Address"] = 0x10000 },
        { "no context for a ring", memory => memory["AioContexts"] = new JsonArray() },
        { "two for one", memory => memory["AioContexts"]!.AsArray().Add(Context(memory).DeepClone()) },
        { "nothing", memory => memory["AioContexts"] = new JsonArray((JsonNode?)null) },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void An_image_with_an_impossible_context_is_refused(string what, Action<JsonObject> change)
    {
        IRunningApplication application = bench.Python(Calls + "context = setup(8)\nopen(os.environ['OUT'] + '/ready', 'w').close()\nwhile True: time.sleep(0.01)");
        bench.Expect("ready");
        JsonObject image = JsonNode.Parse(bench.Checkpoint(application).Image)!.AsObject();
        change(image["Processes"]!.AsArray().Select(process => process!["Memory"]).OfType<JsonObject>().Single(memory => memory["AioContexts"]!.AsArray().Count > 0));
        BridgeException refused = Assert.Throws<BridgeException>(() => ApplicationImage.Decode(System.Text.Encoding.UTF8.GetBytes(image.ToJsonString())));
        Assert.True(refused.Code == "image.invalid", $"{what}: {refused}");
    }

    public void Dispose() => bench.Dispose();

    private static JsonObject Context(JsonObject memory) => memory["AioContexts"]![0]!.AsObject();

    /// <summary>Runs the tracer; killed at the given one of its ptrace calls.</summary>
    private int Count(int pid, int? moment) => HelperProcess.RunTracer(moment, "count-requests", $"{pid}", bench.PathOf("found"));
}
