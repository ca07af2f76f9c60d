using System.Diagnostics;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>What is not captured is refused by name, by a check and by a checkpoint alike, and the application goes on.</summary>
public sealed class RefusedResourcesTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    public static TheoryData<string, string, string> Cases => new()
    {
        { "a context of Linux AIO of which a part is mapped", "memory.aio", "c = ctypes.c_ulong(0); must(libc.syscall(206, 500, ctypes.byref(c))); must(libc.munmap(ctypes.c_void_p(c.value + 4096), 4096))" },
        { "a context of Linux AIO whose ring was written to", "memory.aio", "c = ctypes.c_ulong(0); must(libc.syscall(206, 8, ctypes.byref(c))); ctypes.memset(c.value + 16, 0, 4)" },
        { "a directory that sends signals about changes", "fd.owner", "d = os.open('/usr', 0); fcntl.fcntl(d, fcntl.F_NOTIFY, fcntl.DN_CREATE | fcntl.DN_MULTISHOT)" },
        { "a lease", "fd.lock", "f = open(out + '/leased', 'w'); f.close(); f = open(out + '/leased'); fcntl.fcntl(f, 1024, fcntl.F_RDLCK)" },
        { "a pidfd of a process outside", "fd.pidfd", "os.pidfd_open(1)" },
        { "a pidfd of a process that is gone", "fd.pidfd", "p = os.fork(); (os._exit(0) if p == 0 else None); d = os.pidfd_open(p); os.waitpid(p, 0)" },
        { "unread inotify events", "fd.inotify", "i = libc.inotify_init1(0); must(libc.inotify_add_watch(i, out.encode(), 0x100)); open(out + '/new', 'w').close()" },
        { "a watch of a file without a name", "fd.inotify", "i = libc.inotify_init1(0); f = open(out + '/gone', 'w'); must(libc.inotify_add_watch(i, out.encode() + b'/gone', 2)); os.unlink(out + '/gone')" },
        { "a FIFO that was removed", "fifo.deleted", "os.mkfifo(out + '/fifo'); f = os.open(out + '/fifo', os.O_RDWR); os.unlink(out + '/fifo')" },
        { "System V memory that a look would remove", "ipc.shm", "must(libc.shmget(1, 4096, 0o1600)); open('/proc/sys/kernel/shm_rmid_forced', 'w').write('1')" },
        { "a timer by the processor time of one of several threads", "timer.clock", "threading.Thread(target=lambda: time.sleep(1000), daemon=True).start(); must(libc.syscall(222, 3, 0, ctypes.byref(ctypes.c_int())))" },
        { "a timer of a thread that has ended", "timer.thread", "s = ctypes.create_string_buffer(64)\ndef make(): struct.pack_into('Qiii', s, 0, 0, 10, 4, threading.get_native_id()); must(libc.syscall(222, 1, s, ctypes.byref(ctypes.c_int())))\nt = threading.Thread(target=make); t.start(); t.join()" },
        { "a link in its own /dev/shm", "shm.file", "os.symlink('/etc', '/dev/shm/link')" },
        { "a POSIX queue whose messages somebody is to be told of", "ipc.queue", "l = ctypes.CDLL('librt.so.1'); q = l.mq_open(b'/q', 0o102, 0o600, None); must(q); must(l.mq_notify(q, struct.pack('qii48x', 0, 10, 0)))" },
        { "a POSIX queue without a name that holds messages and cannot be written to", "fd.mqueue", "l = ctypes.CDLL('librt.so.1'); q = l.mq_open(b'/q', 0o102, 0o600, None); must(l.mq_send(q, b'x', 1, 0)); must(l.mq_open(b'/q', 0)); os.close(q); must(l.mq_unlink(b'/q'))" },
        { "a thread in a namespace of its own", "process.namespace", "threading.Thread(target=lambda: (must(libc.unshare(0x04000000)), time.sleep(1000)), daemon=True).start(); time.sleep(0.05)" },
        { "a mount namespace with a mount of its own", "process.namespace", "must(libc.unshare(0x20000)); must(libc.mount(b'x', b'/mnt', b'tmpfs', 0, None))" },
        { "children in a pid namespace that has ended", "process.namespace", "must(libc.unshare(0x20000000)); p = os.fork(); (os._exit(0) if p == 0 else None); os.waitpid(p, 0)" },
        { "a thread whose children are in another pid namespace", "process.namespace", "e = threading.Event(); threading.Thread(target=lambda: (must(libc.unshare(0x20000000)), e.set(), time.sleep(1000)), daemon=True).start(); e.wait()" },
        { "a first process of a pid namespace that a signal from inside has ended", "process.namespace", "libc.setrlimit(4, struct.pack('QQ', 0, 0)); p = libc.syscall(56, 0x20000011, 0, 0, 0, 0); (ctypes.string_at(0) if p == 0 else None); os.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)" },
        { "a process that went into a pid namespace from outside and was left there", "tree.namespace", "x = libc.syscall(56, 0x20000011, 0, 0, 0, 0); (time.sleep(1000) if x == 0 else None)\nif os.fork() == 0:\n    must(libc.setns(os.pidfd_open(x), 0x20000000)); (os._exit(0) if os.fork() else time.sleep(1000))\nos.wait()" },
        { "a process in a pid namespace whose parent has left its session since", "tree.session", "r, w = os.pipe()\nif os.fork() == 0:\n    x = libc.syscall(56, 0x20000011, 0, 0, 0, 0); (time.sleep(1000) if x == 0 else None); os.setsid(); os.write(w, b'x'); time.sleep(1000)\nos.read(r, 1)" },
        { "an owner of signals outside the pid namespace of who has the file", "fd.owner", "r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, os.getpid()); x = libc.syscall(56, 0x20000011, 0, 0, 0, 0); (time.sleep(1000) if x == 0 else os.close(r))" },
        { "a file in the /proc of a pid namespace", "fd.namespace", "r, w = os.pipe(); x = libc.syscall(56, 0x20020011, 0, 0, 0, 0)\nif x == 0:\n    must(libc.mount(b'none', b'/', None, 0x44000, None)); must(libc.mount(b'proc', b'/proc', b'proc', 14, None)); f = open('/proc/stat'); os.write(w, b'x'); time.sleep(1000)\nos.read(r, 1)" },
        { "children in another time namespace", "process.namespace", "must(libc.unshare(0x80))" },
        { "a child that ends with another signal", "process.exit-signal", "p = libc.syscall(56, 0, 0, 0, 0, 0); (time.sleep(1000) if p == 0 else None)" },
        { "a pidfd on its way that nobody holds", "socket.rights", "p = os.pidfd_open(os.getpid()); a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [p]); os.close(p)" },
        { "descriptors on their way inside a socket that is on its way itself", "socket.rights", "a, b = socket.socketpair(); c, d = socket.socketpair(); socket.send_fds(c, [b'x'], [1]); socket.send_fds(a, [b'x'], [d.fileno()]); d.close()" },
        { "a Unix connection that was not accepted and holds bytes", "socket.pending", "l = socket.socket(socket.AF_UNIX); l.bind(out + '/s'); l.listen(); c = socket.socket(socket.AF_UNIX); c.connect(out + '/s'); c.send(b'x')" },
        { "a TCP connection that was not accepted and holds bytes", "socket.pending", "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); c = socket.create_connection(l.getsockname()); c.send(b'x')" },
        { "urgent data", "socket.urgent", "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); c = socket.create_connection(l.getsockname()); s, _ = l.accept(); c.send(b'x', socket.MSG_OOB)" },
        { "more bytes than a receiver without room can be made to take", "socket.unsent", "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); c = socket.create_connection(l.getsockname()); s, _ = l.accept(); c.setsockopt(1, 32, 200 << 20); c.settimeout(1)\ntry: c.sendall(bytes(100 << 20))\nexcept OSError: pass" },
        { "a socket filter", "socket.filter", "p = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0xffffffff)); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setsockopt(1, 26, struct.pack('HxxxxxxQ', 1, ctypes.addressof(p)))" },
        { "membership in a multicast group", "socket.multicast", "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setsockopt(0, 35, socket.inet_aton('224.0.0.251') + socket.inet_aton('127.0.0.1'))" },
        { "a raw socket", "fd.socket", "u = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)" },
        { "a generic netlink socket with an address", "fd.socket", "n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16); n.bind((0, 0))" },
        { "a netlink socket with a filter", "socket.filter", "n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); c = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 65535)); n.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HxxxxxxP', 1, ctypes.addressof(c)))" },
        { "more output in a terminal than its master holds", "pty.unread", "m, s = os.openpty(); os.write(s, bytes(5000))" },
        { "input of a terminal that is processed elsewhere", "pty.unread", "m, s = os.openpty(); a = termios.tcgetattr(s); a[3] |= 0x10000; termios.tcsetattr(s, 0, a); os.write(m, b'x')" },
        { "input of a terminal that marks errors", "pty.unread", "m, s = os.openpty(); a = termios.tcgetattr(s); a[0] |= termios.PARMRK; a[3] = 0; termios.tcsetattr(s, 0, a); os.write(m, b'x')" },
        { "input of a terminal in exclusive use", "pty.unread", "m, s = os.openpty(); a = termios.tcgetattr(s); a[3] = 0; termios.tcsetattr(s, 0, a); fcntl.ioctl(s, termios.TIOCEXCL); os.write(m, b'x')" },
        { "input of a terminal that is reported by signals", "pty.unread", "signal.signal(29, signal.SIG_IGN); m, s = os.openpty(); a = termios.tcgetattr(s); a[3] = 0; termios.tcsetattr(s, 0, a); fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl(s, fcntl.F_SETFL, os.O_RDWR | os.O_ASYNC); os.write(m, b'x')" },
        { "a terminal whose output is stopped", "pty.stopped", "m, s = os.openpty(); fcntl.ioctl(s, 0x540a, 0)" },
        { "a master with another line discipline", "pty.discipline", "m, s = os.openpty(); fcntl.ioctl(m, 0x5423, struct.pack('i', 27))" },
        { "a slave with another line discipline", "pty.discipline", "m, s = os.openpty(); fcntl.ioctl(s, 0x5423, struct.pack('i', 27))" },
        { "a directory that was removed", "directory.deleted", "os.mkdir(out + '/d'); d = os.open(out + '/d', 0); os.rmdir(out + '/d')" },
        { "a working directory that was removed", "directory.deleted", "os.mkdir(out + '/d'); os.chdir(out + '/d'); os.rmdir(out + '/d')" },
        { "a path descriptor whose file was removed", "path.deleted", "open(out + '/p', 'w').close(); p = os.open(out + '/p', os.O_PATH); os.unlink(out + '/p')" },
        { "what /proc shows of a child", "file.process", "p = os.fork(); (time.sleep(1000) if p == 0 else None); f = open(f'/proc/{p}/status')" },
        { "a file that was opened by a name which is gone, and has another", "file.renamed", "f = open(out + '/a', 'w'); os.link(out + '/a', out + '/b'); os.unlink(out + '/a')" },
        { "a mapped file that has another name since", "file.renamed", "f = os.open(out + '/a', os.O_CREAT | os.O_RDWR); os.truncate(f, 4096); must(libc.mmap(0, 4096, 3, 1, f, 0)); os.close(f); os.link(out + '/a', out + '/b'); os.unlink(out + '/a')" },
        { "a file over whose directory another file system was mounted, with a file of that name", "file.hidden", "os.mkdir(out + '/m'); f = open(out + '/m/f', 'w'); must(libc.mount(b'x', (out + '/m').encode(), b'tmpfs', 0, None)); open(out + '/m/f', 'w').close()" },
        { "a device whose node was removed", "device.deleted", "os.mknod(out + '/zero', 0o20600, os.makedev(1, 5)); f = os.open(out + '/zero', os.O_RDONLY); os.unlink(out + '/zero')" },
        { "a device with a state", "fd.device", "d = os.open('/dev/kmsg', os.O_RDONLY)" },
        { "an eventfd whose counter has overflown", "fd.eventfd", "e = os.eventfd(0); os.eventfd_write(e, 2 ** 64 - 2); f = os.open('/etc/hostname', 0); b = ctypes.create_string_buffer(64); c = ctypes.c_ulong(0); must(libc.syscall(206, 1, ctypes.byref(c)))\ni = ctypes.create_string_buffer(struct.pack('QIIHhIQQqQII', 0, 0, 0, 0, 0, f, ctypes.addressof(b), 1, 0, 0, 1, e)); must(libc.syscall(209, c, ctypes.c_long(1), ctypes.byref(ctypes.c_void_p(ctypes.addressof(i))))); must(libc.syscall(208, c, ctypes.c_long(1), ctypes.c_long(1), ctypes.create_string_buffer(32), None)); must(libc.syscall(207, c)); os.close(f)" },
        { "sealed memory", "memory.sealed", "must(libc.syscall(462, ctypes.c_ulong(libc.mmap(0, 4096, 3, 0x22, -1, 0)), ctypes.c_ulong(4096), ctypes.c_ulong(0)))" },
        { "secret memory", "memory.secret", "m = libc.syscall(447, 0); must(m); os.truncate(m, 4096); must(libc.mmap(0, 4096, 3, 1, m, 0)); os.close(m)" },
        { "memory of a device", "memory.device", "a = ctypes.create_string_buffer(struct.pack('IIQ112x', 1, 128, 1)); d = libc.syscall(298, a, ctypes.c_long(0), ctypes.c_long(-1), ctypes.c_long(-1), ctypes.c_long(0)); must(d); must(libc.mmap(0, 8192, 3, 1, d, 0)); os.close(d)" },
        { "a ring of packets that is mapped", "memory.unknown", "s = socket.socket(17, 3, 0); s.setsockopt(263, 5, struct.pack('IIII', 4096, 1, 2048, 2)); must(libc.mmap(0, 4096, 3, 1, s.fileno(), 0)); s.close()" },
        { "a program that was executed from a memfd", "memory.memfd", "m = os.memfd_create('program'); os.write(m, open('/bin/sleep', 'rb').read()); p = os.fork(); (os.execve(m, ['sleep', '1000'], {}) if p == 0 else None)\nwhile not os.readlink(f'/proc/{p}/exe').startswith('/memfd:'): time.sleep(0.01)" },
        { "a process that another one traces", "process.traced", "p = os.fork(); (time.sleep(1000) if p == 0 else None); must(libc.ptrace(0x4206, p, None, None))" },
        { "a thread with descriptors of its own", "thread.unshared", "e = threading.Event(); threading.Thread(target=lambda: (must(libc.unshare(0x400)), e.set(), time.sleep(1000)), daemon=True).start(); e.wait()" },
        { "a Unix socket in which an error waits", "socket.error", "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET); b.send(b'x'); a.close()" },
        { "a Unix socket that sends to one without a name which has turned to another", "socket.peer", "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); c.bind(out + '/c'); b.connect(out + '/c')" },
        { "a socket of another network namespace", "socket.namespace", "n = os.open('/proc/self/ns/net', 0); must(libc.unshare(0x40000000)); l = socket.socket(); l.bind(('0.0.0.0', 0)); l.listen(); must(libc.setns(n, 0x40000000)); os.close(n)" },
        { "a terminal of another instance of devpts", "pty.instance", "os.mkdir(out + '/pts'); must(libc.mount(b'x', (out + '/pts').encode(), b'devpts', 0, b'newinstance,ptmxmode=0666')); m = os.open(out + '/pts/ptmx', os.O_RDWR | os.O_NOCTTY)" },
        { "a terminal that was opened as /dev/tty and does not control its session any more", "pty.control", "m, s = os.openpty(); r, w = os.pipe()\nif os.fork() == 0:\n    signal.signal(1, signal.SIG_IGN); os.setsid(); fcntl.ioctl(s, termios.TIOCSCTTY, 0); t = os.open('/dev/tty', os.O_RDWR); fcntl.ioctl(t, termios.TIOCNOTTY); os.write(w, b'x'); time.sleep(1000)\nos.read(r, 1)" },
        { "a terminal with a process group in its foreground that has ended", "pty.foreground", "m, s = os.openpty(); r, w = os.pipe()\nif os.fork() == 0:\n    signal.signal(22, signal.SIG_IGN); os.setsid(); fcntl.ioctl(s, termios.TIOCSCTTY, 0); p = os.fork(); (time.sleep(1000) if p == 0 else None); os.setpgid(p, p); os.tcsetpgrp(s, p); os.kill(p, 9); os.waitpid(p, 0); os.write(w, b'x'); time.sleep(1000)\nos.read(r, 1)" },
        { "more bytes in a System V queue than are kept", "ipc.msg", "open('/proc/sys/kernel/msgmnb', 'w').write('40000000'); q = libc.msgget(1, 0o1600); must(q); m = ctypes.create_string_buffer(struct.pack('q8192x', 1)); [must(libc.msgsnd(q, m, 8192, 0o4000)) for i in range(2100)]" },
        { "an open file of huge pages", "memory.huge", "os.mkdir(out + '/h'); must(libc.mount(b'none', (out + '/h').encode(), b'hugetlbfs', 0, None)); f = os.open(out + '/h/f', os.O_CREAT | os.O_RDWR)" },
        { "a mapped file of huge pages", "memory.huge", "os.mkdir(out + '/h'); must(libc.mount(b'none', (out + '/h').encode(), b'hugetlbfs', 0, None)); f = os.open(out + '/h/f', os.O_CREAT | os.O_RDWR); os.truncate(f, 2 << 20); must(libc.mmap(0, 2 << 20, 3, 0x4001, f, 0)); os.close(f)" },
        { "System V memory of huge pages", "memory.huge", "libc.shmat.restype = ctypes.c_long; i = libc.shmget(7, 2 << 20, 0o15600); must(i); must(libc.shmat(i, None, 0))" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void It_is_refused_by_name(string what, string code, string setup)
    {
        IRunningApplication application = bench.Python(
            $$"""
            import ctypes, fcntl, mmap, os, signal, socket, struct, termios, threading, time
            out = os.environ['OUT']
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_long
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            def must(result):
                if result == -1: raise OSError(ctypes.get_errno(), 'setup')
            {{setup}}
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        Assert.True(bench.RefusalsOf(application) is [var only] && only == code, $"{what}: {string.Join(", ", bench.RefusalsOf(application))}");
    }

    [Fact]
    public void A_file_that_is_mapped_and_unmapped_all_the_time_is_no_reason_to_refuse()
    {
        // As .NET does where it compiles code: always at the same place.
        const string source = """
            #define _GNU_SOURCE
            #include <fcntl.h>
            #include <stdlib.h>
            #include <sys/mman.h>
            #include <unistd.h>
            int main(void)
            {
                int file = memfd_create("code", 0);
                if (ftruncate(file, 1 << 20) || chdir(getenv("OUT")) || creat("ready", 0600) < 0)
                    return 1;
                for (;;) {
                    void *place = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 4096);
                    usleep(100);
                    if (place == MAP_FAILED || munmap(place, 8192))
                        return 1;
                    usleep(100);
                }
            }
            """;
        if (bench.Compile(source) is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        bench.Expect("ready");
        for (int round = 0; round < 300; round++)
        {
            Assert.Empty(ProcessInspection.Of(application.MainPid, PidReference.Of(application.Target.RootPid)).Refusals);
        }

        bench.Checkpoint(application);
    }

    [Fact]
    public void An_epoll_entry_whose_file_only_others_hold_is_refused()
    {
        IRunningApplication application = bench.Python(
            """
            import os, select, time
            out = os.environ['OUT']
            counter = os.eventfd(0); e = select.epoll(); e.register(counter, select.EPOLLIN)
            with open(out + '/number', 'w') as f: f.write(str(counter))
            open(out + '/ready', 'w').close()
            while not os.path.exists(out + '/go'): time.sleep(0.01)
            os.close(counter); open(out + '/closed', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        int pidfd = Libc.pidfd_open(application.MainPid);
        int copy = Libc.pidfd_getfd(pidfd, int.Parse(File.ReadAllText(bench.PathOf("number")), System.Globalization.CultureInfo.InvariantCulture));
        Assert.True(copy >= 0);
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        bench.Expect("closed");
        Assert.Equal(["fd.epoll"], bench.RefusalsOf(application));
        Assert.Equal(0, Libc.close(copy));
        Assert.Equal(0, Libc.close(pidfd));

        // With the last copy the kernel forgets the entry.
        bench.Checkpoint(application);
    }

    [Fact]
    public void A_block_device_is_refused()
    {
        IRunningApplication application = bench.Python(
            """
            import os, time
            out = os.environ['OUT']
            try:
                major, minor = open('/proc/partitions').read().split('\n')[2].split()[:2]
                os.mknod(out + '/disk', 0o60600, os.makedev(int(major), int(minor)))
                disk = os.open(out + '/disk', os.O_RDONLY)
            except (OSError, IndexError):
                open(out + '/none', 'w').close()
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        // Where this machine has none, or nobody may open it, there is nothing to refuse.
        if (!File.Exists(bench.PathOf("none")))
        {
            Assert.Equal(["fd.unknown"], bench.RefusalsOf(application));
        }
    }

    [Fact]
    public void A_device_whose_node_is_missing_where_it_is_restored_is_refused()
    {
        IRunningApplication application = bench.Python(
            """
            import os, time
            out = os.environ['OUT']
            os.mknod(out + '/zero', 0o20600, os.makedev(1, 5))
            zero = os.open(out + '/zero', os.O_RDONLY)
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01); os.read(zero, 1); open(out + '/log', 'a').write('line\n')
            """);
        bench.Expect("ready");
        Taken taken = bench.Checkpoint(application, kill: true);
        File.Move(bench.PathOf("zero"), bench.PathOf("elsewhere"));
        Refusal only = Assert.Single(Assert.Throws<BridgeException>(() => bench.Restore(taken)).Refusals);
        Assert.Equal(("device.missing", bench.PathOf("zero")), (only.Code, only.What));
        Assert.Equal("make the device node", only.Remedy);
        File.Move(bench.PathOf("elsewhere"), bench.PathOf("zero"));
        bench.Restore(taken);
        bench.ExpectLines("log", 2);
    }

    [Fact]
    public void A_32_bit_program_is_refused()
    {
        const string source = "void _start(void) { for (;;) { int request[2] = { 0, 10000000 }; __asm__ volatile(\"int $0x80\" : : \"a\"(162), \"b\"(request), \"c\"(0) : \"memory\"); } }";
        if (bench.Compile(source, "program", "-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector") is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        Spaces.SpaceFixture.Until(() => File.ReadAllText($"/proc/{application.MainPid}/comm") == "program\n", "program");
        Assert.Contains("process.32bit", bench.RefusalsOf(application));
    }

    [Fact]
    public void A_program_without_the_instructions_for_system_calls_is_refused()
    {
        if (bench.Compile("void _start(void) { for (;;) __asm__ volatile(\"pause\"); }", "program", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie") is not { } program)
        {
            return;
        }

        IRunningApplication application = bench.Launch(program);
        Spaces.SpaceFixture.Until(() => File.ReadAllText($"/proc/{application.MainPid}/comm") == "program\n", "program");
        Assert.Equal(["inject.code"], bench.RefusalsOf(application));
    }

    [Fact]
    public void A_file_whose_signals_go_to_somebody_outside_is_refused()
    {
        (IRunningApplication application, int copy) = WithCopy("n, w = os.pipe()");
        const int F_SETOWN = 8;
        Assert.Equal(0, Libc.fcntl(copy, F_SETOWN, Environment.ProcessId));
        Assert.Equal(["fd.owner"], bench.RefusalsOf(application));
        Assert.Equal(0, Libc.fcntl(copy, F_SETOWN, application.MainPid));
        Assert.Equal(0, Libc.close(copy));
        bench.Checkpoint(application);
    }

    /// <summary>Starts a program, and takes a copy of one of its descriptors.</summary>
    /// <param name="setup">Opens it, and has its number in n.</param>
    private (IRunningApplication Application, int Copy) WithCopy(string setup)
    {
        IRunningApplication application = bench.Python(
            $$"""
            import os, time
            out = os.environ['OUT']
            {{setup}}
            with open(out + '/number', 'w') as f: f.write(str(n))
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        (int copy, _) = Libc.CopyDescriptor(application.MainPid, int.Parse(File.ReadAllText(bench.PathOf("number")), System.Globalization.CultureInfo.InvariantCulture));
        Assert.True(copy >= 0);
        return (application, copy);
    }

    [Theory]
    [InlineData("pty.outside", "m, n = os.openpty()")]
    [InlineData("pty.outside", "n, s = os.openpty()")]
    public void A_terminal_of_which_somebody_outside_has_an_end_open_is_refused(string code, string setup)
    {
        (IRunningApplication application, int copy) = WithCopy(setup);
        Assert.Equal([code], bench.RefusalsOf(application));
        Assert.Equal(0, Libc.close(copy));
        bench.Checkpoint(application);
    }

    [Fact]
    public void A_FIFO_that_somebody_outside_has_open_is_refused()
    {
        IRunningApplication application = bench.Python(
            """
            import os, time
            out = os.environ['OUT']
            os.mkfifo(out + '/fifo'); f = os.open(out + '/fifo', os.O_RDWR)
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        int ours = Libc.open(bench.PathOf("fifo"), Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        Assert.True(ours >= 0);
        Assert.Equal(["fifo.outside"], bench.RefusalsOf(application));
        Assert.Equal(0, Libc.close(ours));
        bench.Checkpoint(application);
    }

    [Theory]
    [InlineData("ipc.host", "made = 'shm', libc.shmget(0, 4096, 0o600)")]
    [InlineData("ipc.host", "made = 'sem', libc.semget(0, 2, 0o600); libc.semctl(made[1], 1, 16, 1)")]
    [InlineData("ipc.host", "made = 'msg', libc.msgget(0, 0o600); libc.msgsnd(made[1], (ctypes.c_long * 2)(1, 1), 8, 0)")]
    [InlineData("ipc.host memory.sysv", "made = 'shm', libc.shmget(0, 4096, 0o600); libc.shmat.restype = ctypes.c_void_p; libc.shmat(made[1], None, 0)")]
    public void System_V_objects_of_the_host_that_an_application_uses_are_refused(string codes, string setup)
    {
        IRunningApplication application = bench.Launch(
            new HashSet<string> { "pid", "mount" }, "python3", "-c",
            $"""
            import ctypes, os, time
            libc = ctypes.CDLL(None)
            {setup}
            with open(os.environ['OUT'] + '/made', 'w') as f: print(*made, file=f)
            open(os.environ['OUT'] + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        try
        {
            bench.Expect("ready");
            string[] found = [.. bench.Bridge.CheckApplication(application.Target).Where(row => row.Verdict == CheckVerdict.No).Select(row => row.Code).Distinct().Order()];
            Assert.Equal(codes.Split(' '), found);
            // A checkpoint ends with what single processes have, before it looks across all.
            Assert.Equal(found[^1], Assert.Throws<BridgeException>(() => bench.Checkpoint(application)).Code);
            Health.AssertRuns(application.MainPid);
        }
        finally
        {
            application.Kill();
            if (File.Exists(bench.PathOf("made")))
            {
                string[] made = File.ReadAllText(bench.PathOf("made")).Split();
                using Process remove = Process.Start("ipcrm", [made[0] switch { "shm" => "-m", "sem" => "-s", _ => "-q" }, made[1]]);
                remove.WaitForExit();
            }
        }
    }

    /// <summary>Only a process that stands shows it; a check says nothing of it.</summary>
    [Fact]
    public void A_program_that_has_its_system_calls_dispatched_is_refused()
    {
        IRunningApplication application = bench.Python(
            """
            import ctypes, os, time
            allow = ctypes.create_string_buffer(1)
            if ctypes.CDLL(None).prctl(59, ctypes.c_long(1), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(ctypes.addressof(allow))) == 0:
                open(os.environ['OUT'] + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        Refusal only = Assert.Single(Assert.Throws<BridgeException>(() => bench.Checkpoint(application)).Refusals);
        Assert.Equal("process.dispatch", only.Code);
        Health.AssertRuns(application.MainPid);
    }

    [Fact]
    public void A_tree_in_other_namespaces_is_refused()
    {
        using Process process = Process.Start("unshare", ["-u", "sleep", "1000"]);
        try
        {
            ApplicationTarget target = PtraceBridge.TreeOf(process.Id);
            Spaces.SpaceFixture.Until(() => File.ReadAllText($"/proc/{process.Id}/comm") == "sleep\n", "sleep");
            Assert.Contains(bench.Bridge.CheckApplication(target), row => row is { Verdict: CheckVerdict.No, Code: "process.namespace" });
        }
        finally
        {
            process.Kill();
            process.WaitForExit();
        }
    }

    [Fact]
    public void A_process_in_a_group_below_the_applications_own_is_refused()
    {
        IRunningApplication application = bench.Shell("sleep 1000 & : >$OUT/ready; wait");
        bench.Expect("ready");
        if (application.Target.CgroupPath is not { } group)
        {
            return;
        }

        string below = Directory.CreateDirectory(Path.Combine(group, "below")).FullName;
        int child = Linux.ProcFs.Children(application.MainPid).Single();
        File.WriteAllText(Path.Combine(below, "cgroup.procs"), $"{child}");
        Assert.Equal(["process.cgroup"], bench.RefusalsOf(application));
        application.Kill();
        if (Directory.Exists(below))
        {
            Directory.Delete(below);
        }
    }

    [Fact]
    public void What_no_interface_shows_is_a_caveat()
    {
        IRunningApplication application = bench.Shell("mount -t tmpfs none /mnt && touch $OUT/ready; while :; do sleep 0.01; done");
        bench.Expect("ready");
        IReadOnlyList<CheckRow> rows = bench.Bridge.CheckApplication(application.Target);
        Assert.DoesNotContain(rows, row => row.Verdict == CheckVerdict.No);
        Assert.Contains(rows, row => row.Verdict == CheckVerdict.Caveat && row.What.StartsWith("/mnt ", StringComparison.Ordinal));
        Assert.Contains(rows, row => row.Verdict == CheckVerdict.Caveat && row.What.Contains("keyrings", StringComparison.Ordinal));
    }

    [Fact]
    public void Edges_that_a_restore_reports_again_and_changes_that_a_watch_misses_are_caveats()
    {
        IRunningApplication application = bench.Python(
            """
            import ctypes, os, select, time
            out = os.environ['OUT']
            libc = ctypes.CDLL(None)
            r, w = os.pipe(); level = select.epoll(); level.register(r, select.EPOLLIN); edge = select.epoll(); edge.register(r, select.EPOLLIN | select.EPOLLET)
            i = libc.inotify_init1(0); libc.inotify_add_watch(i, b'/usr', 0x100)
            with open(out + '/numbers', 'w') as f: f.write(f'{level.fileno()} {edge.fileno()} {i}')
            open(out + '/ready', 'w').close()
            while True: time.sleep(0.01)
            """);
        bench.Expect("ready");
        string[] numbers = File.ReadAllText(bench.PathOf("numbers")).Split(' ');
        IReadOnlyList<CheckRow> rows = bench.Bridge.CheckApplication(application.Target);
        CheckVerdict[] verdicts = [.. numbers.Select(number => rows.Single(row => row.Subject.EndsWith($" fd {number}", StringComparison.Ordinal)).Verdict)];
        Assert.Equal([CheckVerdict.Yes, CheckVerdict.Caveat, CheckVerdict.Caveat], verdicts);
    }

    public void Dispose() => bench.Dispose();
}
