using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Pipes with the bytes in them; see pipe(7). A pipe is one object; each of its ends is an open file.</summary>
internal sealed class Pipes : IDescriptorKind
{
    public const int F_SETFL = 4;

    private const int F_GETPIPE_SZ = 1032, F_SETPIPE_SZ = 1031;

    public bool Recognise(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.Fifo && facts.Link.StartsWith("pipe:[", StringComparison.Ordinal);

    public Refusal? Check(DescriptorFacts facts) => null;

    public OpenFileImage Capture(DescriptorFacts facts) => new PipeEndImage { Flags = facts.Flags, Pipe = (long)facts.Identity.Inode };

    /// <summary>Which pipes have an end outside the application, and through which of its standard streams they came in.</summary>
    /// <param name="all">Every pipe descriptor of the application.</param>
    /// <param name="pids">Host pids of the application.</param>
    /// <returns>By inode: the inherited stream, or a refusal.</returns>
    public static Dictionary<ulong, (int Stream, Refusal? Refusal)> FromOutside(IReadOnlyList<DescriptorFacts> all, IReadOnlySet<int> pids)
    {
        // A pipe of which the application holds one kind of end only: either the other end is closed, or someone else has it.
        Dictionary<ulong, DescriptorFacts> oneEnded = [];
        foreach (IGrouping<ulong, DescriptorFacts> pipe in all.GroupBy(facts => facts.Identity.Inode))
        {
            bool reads = pipe.Any(facts => facts.AccessMode != Libc.O_WRONLY);
            bool writes = pipe.Any(facts => facts.AccessMode != Libc.O_RDONLY);
            if (!reads || !writes)
            {
                oneEnded[pipe.Key] = pipe.OrderBy(facts => facts.Number).First();
            }
        }

        Dictionary<ulong, (int Stream, Refusal? Refusal)> outside = [];
        if (oneEnded.Count == 0)
        {
            return outside;
        }

        foreach (int pid in ProcFs.Numbers("/proc").Where(pid => !pids.Contains(pid)))
        {
            foreach (int number in ProcFs.Numbers($"/proc/{pid}/fd"))
            {
                string? link = ProcFs.TryLink($"/proc/{pid}/fd/{number}");
                if (link is not null && link.StartsWith("pipe:[", StringComparison.Ordinal) && ulong.TryParse(link[6..^1], out ulong inode)
                    && oneEnded.TryGetValue(inode, out DescriptorFacts? facts) && !outside.ContainsKey(inode))
                {
                    outside[inode] = facts.Number <= 2
                        ? (facts.Number, null)
                        : (0, facts.Refuse(
                            "pipe.outside", $"process {pid} ({ProcessStat.TryRead(pid)?.Name}), which is not part of the application, holds its other end",
                            "close it, or run both processes in one application"));
                }
            }
        }

        return outside;
    }

    /// <summary>Copies the bytes in a pipe without taking them out.</summary>
    public static unsafe PipeImage CaptureContents(long id, DescriptorFacts facts)
    {
        // A description of our own for the reading end, whichever end the application has: it goes away with this method.
        int fd = Libc.open(facts.MagicPath, Libc.O_RDONLY | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            throw new BridgeException("pipe.unreadable", $"opening {facts.Link} of process {facts.InnerPid}", Errno.Text(Libc.LastError));
        }

        int* copy = stackalloc int[2] { -1, -1 };
        try
        {
            int capacity = Libc.fcntl(fd, F_GETPIPE_SZ, 0);
            int waiting = 1;
            if (Libc.ioctl(fd, TerminalCalls.FIONREAD, &waiting) == 0 && waiting == 0)
            {
                return new PipeImage(id, capacity, [], []);
            }

            if (Libc.pipe2(copy, Libc.O_CLOEXEC | Libc.O_NONBLOCK) < 0 || Libc.fcntl(copy[1], F_SETPIPE_SZ, Math.Max(capacity, 4096)) < 0)
            {
                throw new BridgeException("pipe.unreadable", "making a pipe for a copy", Errno.Text(Libc.LastError));
            }

            nint length = Libc.tee(fd, copy[1], int.MaxValue, 2);
            if (length < 0 && Libc.LastError != Errno.EAGAIN)
            {
                throw new BridgeException("pipe.unreadable", $"copying the bytes of {facts.Link}", Errno.Text(Libc.LastError));
            }

            byte[] bytes = new byte[Math.Max(length, 0)];
            List<int> parts = [];
            int done = 0;
            fixed (byte* p = bytes)
            {
                while (done < bytes.Length)
                {
                    // A read ends at the end of a packet (O_DIRECT of pipe(2)); bytes of streams come as one part.
                    nint count = Libc.read(copy[0], p + done, (nuint)(bytes.Length - done));
                    if (count <= 0)
                    {
                        throw new BridgeException("pipe.unreadable", $"copying the bytes of {facts.Link}", "fewer bytes than announced");
                    }

                    parts.Add((int)count);
                    done += (int)count;
                }
            }

            return new PipeImage(id, capacity, bytes, parts);
        }
        finally
        {
            _ = Libc.close(fd);
            _ = copy[0] >= 0 ? Libc.close(copy[0]) : 0;
            _ = copy[1] >= 0 ? Libc.close(copy[1]) : 0;
        }
    }

    /// <summary>Composes what puts size and bytes into a new pipe whose write end is open as the given descriptor.</summary>
    public static void Fill(SyscallTape tape, PipeImage image, int writeEnd)
    {
        tape.Add($"sizing pipe {image.Id}", X64.Fcntl, (ulong)writeEnd, F_SETPIPE_SZ, (ulong)image.Capacity);
        bool packets = image.Parts.Count > 1;
        if (packets)
        {
            tape.Add($"packet mode of pipe {image.Id}", X64.Fcntl, (ulong)writeEnd, F_SETFL, Libc.O_DIRECT);
        }

        int at = 0;
        foreach (int length in image.Parts)
        {
            tape.Add($"filling pipe {image.Id}", X64.Write, (ulong)writeEnd, tape.Place(image.Bytes.AsSpan(at, length)), (ulong)length);
            at += length;
        }

        if (packets)
        {
            tape.Add($"stream mode of pipe {image.Id}", X64.Fcntl, (ulong)writeEnd, F_SETFL, 0);
        }
    }
}

/// <summary>A pipe.</summary>
/// <param name="Id">Its number in the image: the inode that it had.</param>
/// <param name="Capacity">Bytes, F_GETPIPE_SZ.</param>
/// <param name="Bytes">What was written and not yet read.</param>
/// <param name="Parts">Lengths into which they fall: packets, or one part for a stream.</param>
internal sealed record PipeImage(long Id, int Capacity, byte[] Bytes, IReadOnlyList<int> Parts);

/// <summary>An end of a pipe.</summary>
internal sealed record PipeEndImage : OpenFileImage
{
    /// <summary><see cref="PipeImage.Id"/>.</summary>
    public required long Pipe { get; init; }

    public override string Description => $"pipe {Pipe} ({((Flags & Libc.O_ACCMODE) == Libc.O_RDONLY ? "read" : "write")} end)";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) =>
        checks.Image.Pipes.Any(pipe => pipe.Id == Pipe) ? [] : [checks.Invalid($"pipe {Pipe} is not in the image")];

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        // The ends that pipe(2) made serve one description each; a further one is opened through /proc/self/fd.
        int access = Flags & Libc.O_ACCMODE;
        if (access != Libc.O_RDWR && context.TakePipeEnd(Pipe, access == Libc.O_WRONLY) is { } end)
        {
            tape.Add($"placing pipe {Pipe}", X64.Dup2, (ulong)end, (ulong)number);
        }
        else
        {
            context.OpenAs(tape, $"/proc/self/fd/{context.PipeEnd(Pipe, access == Libc.O_WRONLY)}", Flags & ~Libc.O_DIRECT, number);
        }

        tape.Add($"flags of pipe {Pipe}", X64.Fcntl, (ulong)number, Pipes.F_SETFL, (ulong)(Flags & (Libc.O_DIRECT | Libc.O_NONBLOCK)));
    }
}
