using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using static Holdfast.KernelBridge.Linux.TerminalCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Copies what has been written to slaves of pseudo-terminals and not been read from their masters. No interface shows it without taking it out. So the
/// process that has the master reads it and writes it back, in a row of calls that it goes through even when this process dies (<see cref="InjectedCalls.Begin"/>).
/// </summary>
internal sealed class TerminalOutput
{
    /// <summary>The most that a master holds when nothing waits behind it: one less than N_TTY_BUF_SIZE of drivers/tty/n_tty.c, less one.</summary>
    public const int Maximum = 4094;

    private const int EAGAIN = 11;
    private const uint OPOST = 1;

    private readonly Lock gate = new();
    private readonly Dictionary<int, byte[]> outputs = [];

    /// <summary>What was found, by the number of the terminal.</summary>
    public IReadOnlyDictionary<int, byte[]> Outputs => outputs;

    /// <summary>Settings with which bytes arrive as they are written.</summary>
    public static byte[] WithoutProcessing(ReadOnlySpan<byte> settings)
    {
        byte[] raw = settings.ToArray();
        raw[4] &= unchecked((byte)~OPOST);
        return raw;
    }

    /// <summary>Copies the output that waits in a process's masters.</summary>
    /// <param name="descriptors">All its descriptors.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public void Copy(IReadOnlyList<DescriptorFacts> descriptors, InjectedCalls calls)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts master in Waiting(descriptors))
        {
            if (PseudoTerminals.Index(master) is { } index && !outputs.ContainsKey(index) && master.Ask(fd => Number(fd, FIONREAD)) is > 0 and <= Maximum and var count)
            {
                HashSet<int> numbers = [.. descriptors.Select(facts => facts.Number)];
                int free = Enumerable.Range(0, numbers.Count + 1).First(number => !numbers.Contains(number));
                outputs[index] = Copy(master, count, free, calls);
                calls.ReleaseReserved();
            }
        }
    }

    /// <summary>Masters in which output waits.</summary>
    /// <param name="descriptors">All descriptors of a process.</param>
    public static IEnumerable<DescriptorFacts> Waiting(IEnumerable<DescriptorFacts> descriptors) =>
        descriptors.Where(facts => DescriptorKinds.Of(facts) is PseudoTerminals && HasOutput(facts));

    private static bool HasOutput(DescriptorFacts facts) => facts.Ask(fd => Poll(fd, POLLIN) & POLLIN) != 0 && facts.Ask(fd => Number(fd, FIONREAD)) > 0;

    private static byte[] Copy(DescriptorFacts master, int count, int free, InjectedCalls calls)
    {
        BridgeException Failure(string what, long result) => new("pty.unread", $"looking at the output in {master.Link} of process {master.InnerPid}", $"{what}: {Errno.Text((int)-result)}", "try again");
        bool packets = master.Ask(fd => Number(fd, TIOCGPKT)) > 0;
        byte[] settings = master.Ask(Settings) ?? throw Failure("reading its settings", -EAGAIN);
        int ahead = packets ? 1 : 0;
        ulong before = calls.Reserve(SettingsSize);
        ulong raw = calls.Reserve(SettingsSize);
        ulong bytes = calls.Reserve(count + ahead);
        calls.Write(before, settings);
        calls.Write(raw, WithoutProcessing(settings));
        InjectedCall close = new(X64.Close, (ulong)free);
        InjectedCall back = new(X64.Ioctl, (ulong)master.Number, TCSETS2, before);

        // The other end, which is closed again whatever comes.
        long opened = calls.Begin(new InjectedCall(X64.Ioctl, (ulong)master.Number, TIOCGPTPEER, Libc.O_RDWR | Libc.O_NOCTTY | Libc.O_NONBLOCK), close);
        if (opened != free)
        {
            throw Failure("opening its other end", Math.Min(opened, -EAGAIN));
        }

        (int peer, _) = Libc.CopyDescriptor(master.Pid, free);
        bool stopped = peer >= 0 && (Poll(peer, POLLOUT) & POLLOUT) == 0;
        _ = peer >= 0 ? Libc.close(peer) : 0;
        if (peer < 0 || stopped)
        {
            throw Failure("its output is stopped", -EAGAIN);
        }

        InjectedCall write = new(X64.Write, (ulong)free, bytes + (ulong)ahead, (ulong)count);
        long made = calls.Begin(new InjectedCall(X64.Ioctl, (ulong)master.Number, TCSETS2, raw), new InjectedCall(X64.Read, (ulong)master.Number, bytes, (ulong)(count + ahead)), write, back, close);
        long read = calls.Next();
        if (read != count + ahead)
        {
            // What did come goes back.
            long wrote = calls.Begin(write with { A2 = (ulong)Math.Max(0, read - ahead) }, back, close);
            throw Failure("reading it", Math.Min(Math.Min(read, wrote), -EAGAIN));
        }

        byte[] output = calls.Read(bytes + (ulong)ahead, count);
        long written = calls.Next();
        long reset = calls.Next();
        long closed = calls.Next();
        return written == count && made == 0 && reset == 0 && closed == 0
            ? output
            : throw Failure("writing it back", Math.Min(Math.Min(written, reset), Math.Min(closed, -EAGAIN)));
    }
}
