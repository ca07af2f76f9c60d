namespace Holdfast.Checkpoint.Bench;

/// <summary>
/// The program that is checkpointed: an interpreter that the machine has, filling memory with random bytes, so that nothing has to be compiled.
/// Each of its processes makes a file named after its pid once it is ready, and then only sleeps. On SIGUSR1 it forks once and writes into a file
/// <c>forked</c> how many milliseconds that took: what a frozen copy of it is held against.
/// </summary>
internal static class Target
{
    // Extended to its full size first: a string that grows is copied.
    private const string Perl = """
        use Time::HiRes (); use POSIX ();
        my ($size, $processes, $ready, $forked) = @ARGV;
        $SIG{USR1} = sub {
            my $before = Time::HiRes::time; my $pid = fork; POSIX::_exit(0) if defined $pid && !$pid;
            my $took = (Time::HiRes::time - $before) * 1000; waitpid $pid, 0;
            open my $file, '>', "$forked.new" or die; print $file $took; close $file; rename "$forked.new", $forked or die;
        };
        for (2 .. $processes) { my $pid = fork; die "fork: $!" unless defined $pid; last unless $pid; }
        my $memory = ''; vec($memory, $size - 1, 8) = 0;
        open my $random, '<:raw', '/dev/urandom' or die "urandom: $!";
        for (my $at = 0; $at < $size;) { $at += sysread($random, $memory, 1 << 20, $at) || die "urandom: $!"; }
        close $random;
        open my $file, '>', "$ready/$$" or die "ready: $!"; close $file;
        sleep 1000 while 1;
        """;

    private const string Python = """
        import mmap, os, signal, sys, threading, time
        size, processes, ready, forked, threads = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
        def fork(signal, frame):
            before = time.perf_counter()
            pid = os.fork()
            if pid == 0: os._exit(0)
            took = (time.perf_counter() - before) * 1000
            os.waitpid(pid, 0)
            with open(forked + '.new', 'w') as file: file.write(str(took))
            os.rename(forked + '.new', forked)
        signal.signal(signal.SIGUSR1, fork)
        for _ in range(processes - 1):
            if os.fork() == 0:
                break
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        random = os.open('/dev/urandom', os.O_RDONLY)
        view = memoryview(memory)
        at = 0
        while at < size:
            at += os.readv(random, [view[at:at + (1 << 20)]])
        os.close(random)
        threading.stack_size(65536)
        for _ in range(threads - 1):
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        open('%s/%d' % (ready, os.getpid()), 'w').close()
        while True:
            time.sleep(1000)
        """;

    /// <summary>The command line; perl where there is one, since an interpreter of its size adds least to the bytes that are asked for.</summary>
    /// <exception cref="BenchException">The machine has no interpreter for it.</exception>
    public static IReadOnlyList<string> Command(BenchCase measured, string ready, string forked)
    {
        string[] arguments = [$"{(long)measured.MiB << 20}", $"{measured.Processes}", ready, forked, $"{measured.Threads}"];
        return measured.Threads == 1 && Find("perl") is { } perl ? [perl, "-e", Perl, .. arguments]
            : Find("python3") is { } python ? [python, "-c", Python, .. arguments]
            : throw new BenchException("neither perl nor python3 is in PATH: one of them plays the application that is measured");
    }

    private static string? Find(string program) => (Environment.GetEnvironmentVariable("PATH") ?? string.Empty)
        .Split(':', StringSplitOptions.RemoveEmptyEntries)
        .Select(directory => Path.Combine(directory, program))
        .FirstOrDefault(File.Exists);
}
