using System.Text.Json.Nodes;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Restore;

/// <summary>No image, however it was changed, gives anything but a typed error, and none gets further than a plan.</summary>
public sealed class ImageValidationTests(ITestOutputHelper output) : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void An_image_that_was_changed_anywhere_is_refused_or_planned_but_never_crashes()
    {
        Random random = new(Tools.Seed(output));
        byte[] good = Image();
        Plan(good);
        int refused = 0;
        int rounds = Tools.Count(1500, 30_000);
        for (int round = 0; round < rounds; round++)
        {
            JsonNode root = JsonNode.Parse(good)!;
            string what = Mutate(random, root);
            try
            {
                Plan(System.Text.Encoding.UTF8.GetBytes(root.ToJsonString()));
            }
            catch (BridgeException)
            {
                refused++;
            }
            catch (Exception e)
            {
                Assert.Fail($"{what}: {e}");
            }
        }

        output.WriteLine($"{refused} of {rounds} refused");
        Assert.True(refused > rounds / 10);
    }

    [Fact]
    public void An_image_that_was_cut_or_has_flipped_bits_is_refused_or_planned_but_never_crashes()
    {
        Random random = new(Tools.Seed(output));
        byte[] good = Image();
        for (int round = 0; round < Tools.Count(400, 10_000); round++)
        {
            byte[] bad = round % 2 == 0 ? good[..random.Next(good.Length)] : [.. good];
            if (round % 2 != 0)
            {
                bad[random.Next(bad.Length)] ^= (byte)(1 << random.Next(8));
            }

            try
            {
                Plan(bad);
                Assert.True(round % 2 != 0, "a cut image was taken");
            }
            catch (BridgeException)
            {
                // A typed error is what this is about.
            }
        }
    }

    [Fact]
    public void Impossible_pid_and_mount_namespaces_are_refused_by_name()
    {
        byte[] good = Image();
        void Refused(string what, Action<List<JsonObject>, JsonNode> change)
        {
            JsonNode root = JsonNode.Parse(good)!;
            change([.. root["Processes"]!.AsArray().Select(process => process!.AsObject()).OrderBy(process => process["Nested"]!.AsArray().Count)], root);
            BridgeException refused = Assert.Throws<BridgeException>(() => ApplicationImage.Decode(System.Text.Encoding.UTF8.GetBytes(root.ToJsonString())));
            Assert.Equal("image.invalid", refused.Code);
            Assert.True(refused.Message.Contains("namespace", StringComparison.Ordinal), $"{what}: {refused.Message}");
        }

        JsonObject Level(JsonObject process, int level) => process["Nested"]![level]!.AsObject();
        int depth = JsonNode.Parse(good)!["Processes"]!.AsArray().Max(process => process!["Nested"]!.AsArray().Count);
        Assert.Equal(2, depth);
        Refused("no init", (all, _) => Level(all[^1], 0)["Namespace"] = all[0]["Pid"]!.DeepClone());
        Refused("an init that is not there", (all, _) => Level(all[^1], 1)["Namespace"] = 4711);
        Refused("in itself", (all, _) => Level(all[^2], 0)["Namespace"] = all[^1]["Pid"]!.DeepClone());
        Refused("a number that is another's", (all, _) => Level(all[^1], 0)["Pid"] = 1);
        Refused("a number out of range", (all, _) => Level(all[^1], 0)["Pid"] = 1 << 22);
        Refused("a group that is another's", (all, _) => Level(all[^1], 0)["Group"] = 1);
        Refused("too deep", (all, _) => all[^1]["Nested"] = new JsonArray([.. Enumerable.Range(0, 40).Select(_ => Level(all[^1], 0).DeepClone())]));
        Refused("a child that is outside", (all, _) => all[^1]["Nested"] = new JsonArray());
        Refused("a thread without numbers", (all, _) => all[^1]["Threads"]![0]!["NestedTids"] = new JsonArray());
        Refused("a thread with another's number", (all, _) => all[^1]["Threads"]![0]!["NestedTids"]![0] = 1);
        Refused("children further out", (all, _) => all[^1]["ChildNamespace"] = all[^2]["Pid"]!.DeepClone());
        Refused("children nowhere", (all, _) => all[^1]["ChildNamespace"] = 4711);
        Refused("no mount namespace", (all, _) => all[0]["MountNamespace"] = 4711);
        Refused("a member that is elsewhere", (_, root) => root["MountNamespaces"]![0]!["Id"] = 2);
        Refused("a maker that is not there", (_, root) => root["MountNamespaces"]![0]!["Maker"] = 4711);
        Refused("made out of itself", (_, root) => root["MountNamespaces"]![0]!["Base"] = root["MountNamespaces"]![0]!["Id"]!.DeepClone());
        Refused("unknown flags", (_, root) => root["MountNamespaces"]![0]!["Flags"] = 1 << 12);
    }

    public void Dispose() => bench.Dispose();

    /// <summary>All that happens before anything is built.</summary>
    private void Plan(byte[] bytes)
    {
        ApplicationImage image = ApplicationImage.Decode(bytes);
        using IRestore restore = bench.Bridge.BeginRestore(new RestoreRequest
        {
            Name = "mutant", Image = bytes, Pages = new MemoryPages(), StateDirectory = bench.Root, StandardStreams = bench.Streams,
        });
        restore.Check();
        Assert.All(image.Processes.SelectMany(process => process.DescribeMaps().Concat(process.DescribeDescriptors(image)).Concat(process.DescribeThreads())), line => Assert.NotNull(line));
    }

    private byte[] Image()
    {
        IRunningApplication application = bench.Python(
            """
            import ctypes, fcntl, mmap, os, select, signal, socket, threading, time
            out = os.environ['OUT']
            r, w = os.pipe(); os.write(w, b'bytes')
            m = mmap.mmap(-1, 8192)
            f = open(out + '/gone', 'w+'); f.write('x'); f.flush(); os.unlink(out + '/gone')
            a, b = socket.socketpair(); a.send(b'bytes'); u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); k = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); k.setsockopt(270, 1, 9)
            x, y = socket.socketpair(); n = os.pipe(); socket.send_fds(x, [b'x'], [n[1], r]); os.close(n[1])
            d = os.open('/', os.O_RDONLY); p = os.open('/', os.O_PATH)
            libc = ctypes.CDLL(None)
            e = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); e.register(os.eventfd(3), select.EPOLLONESHOT)
            t = libc.timerfd_create(1, 0); libc.timerfd_settime(t, 0, (ctypes.c_long * 4)(1, 0, 1000, 0), None)
            os.mkfifo(out + '/fifo'); q = os.open(out + '/fifo', os.O_RDWR); os.write(q, b'named')
            v = os.memfd_create('held'); os.truncate(v, 4096); pf = os.pidfd_open(os.getpid())
            i = libc.inotify_init1(0); libc.inotify_add_watch(i, out.encode() + b'/fifo', 4)
            libc.shmat.restype = ctypes.c_void_p; libc.shmat(libc.shmget(7, 5000, 0o1600), None, 0)
            os.mkdir('/dev/shm/folder'); open('/dev/shm/folder/file', 'w').write('x')
            libc.semget(7, 2, 0o1600); libc.msgsnd(libc.msgget(7, 0o1600), (ctypes.c_long * 2)(5, 6), 8, 0)
            fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
            s = libc.signalfd(-1, ctypes.byref(ctypes.c_ulong(512)), 0)
            fcntl.fcntl(r, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl(r, fcntl.F_SETFL, fcntl.fcntl(r, fcntl.F_GETFL) | os.O_ASYNC)
            ma, sl = os.openpty(); os.write(ma, b'typed\nhalf'); me, ss = os.openpty(); os.close(me)
            signal.signal(signal.SIGUSR1, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 1000, 1000); libc.syscall(222, 1, 0, ctypes.byref(ctypes.c_int()))
            threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()
            if libc.syscall(56, 0x20020011, 0, 0, 0, 0) == 0:
                libc.mount(b'none', b'/', None, 0x44000, None); libc.mount(b'proc', b'/proc', b'proc', 14, None); libc.unshare(0x20000000)
                if os.fork() == 0: open(out + '/inside', 'w').close()
                time.sleep(1000)
            while not os.path.exists(out + '/inside'): time.sleep(0.01)
            if os.fork() == 0:
                os.setsid(); fcntl.ioctl(sl, 0x540e, 0); ct = os.open('/dev/tty', os.O_RDWR)
                if os.fork() == 0: os._exit(3)
                time.sleep(1000)
            open(out + '/ready', 'w').close()
            time.sleep(1000)
            """);
        bench.Expect("ready");
        return bench.Checkpoint(application).Image;
    }

    private static string Mutate(Random random, JsonNode root)
    {
        List<JsonNode> containers = [];
        Collect(root, containers);
        JsonNode container = containers[random.Next(containers.Count)];
        if (container is JsonArray array)
        {
            int index = random.Next(array.Count);
            string what = $"{array.GetPath()}[{index}]";
            switch (random.Next(4))
            {
                case 0:
                    array.RemoveAt(index);
                    break;
                case 1:
                    array.Add(array[index]?.DeepClone());
                    break;
                case 2:
                    array[index] = null;
                    break;
                default:
                    array[index] = Value(random, array[index]);
                    break;
            }

            return what;
        }

        JsonObject record = (JsonObject)container;
        string name = record.ElementAt(random.Next(record.Count)).Key;
        string path = $"{record.GetPath()}.{name}";
        switch (random.Next(6))
        {
            case 0:
                record.Remove(name);
                break;
            case 1:
                record[name] = null;
                break;
            default:
                record[name] = Value(random, record[name]);
                break;
        }

        return path;
    }

    private static JsonNode? Value(Random random, JsonNode? old) => random.Next(12) switch
    {
        0 => JsonValue.Create(0),
        1 => JsonValue.Create(-1),
        2 => JsonValue.Create(long.MaxValue),
        3 => JsonValue.Create(ulong.MaxValue),
        4 => JsonValue.Create(random.Next(-5, 5000)),
        5 => JsonValue.Create(string.Empty),
        6 => JsonValue.Create("/a\0b"),
        7 => new JsonArray(),
        8 => new JsonObject(),
        9 when old is JsonValue value && value.TryGetValue(out long number) => JsonValue.Create(number ^ 1L << random.Next(63)),
        10 when old is JsonValue value && value.TryGetValue(out string? text) && text.Length > 0 => JsonValue.Create(text[..random.Next(text.Length)]),
        _ => JsonValue.Create(1L << random.Next(63)),
    };

    private static void Collect(JsonNode? node, List<JsonNode> into)
    {
        if (node is JsonObject { Count: > 0 } record)
        {
            into.Add(record);
            foreach ((_, JsonNode? child) in record)
            {
                Collect(child, into);
            }
        }
        else if (node is JsonArray { Count: > 0 } array)
        {
            into.Add(array);
            foreach (JsonNode? child in array)
            {
                Collect(child, into);
            }
        }
    }
}
