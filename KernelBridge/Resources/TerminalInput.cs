using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Spaces;
using static Holdfast.KernelBridge.Linux.TerminalCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What has been written to the master of a pseudo-terminal and not been read from its slave (<c>drivers/tty/n_tty.c</c>).</summary>
/// <param name="Lines">Complete lines with what ends them, but for an end of file (VEOF), which is no byte; only in canonical mode.</param>
/// <param name="Bytes">What lies behind them and has been processed: the beginning of a line, or all of it where the mode is not canonical.</param>
/// <param name="Unprocessed">What had no room yet: neither echoed, nor looked at for signals.</param>
internal sealed record TypedInput(IReadOnlyList<byte[]> Lines, byte[] Bytes, byte[] Unprocessed)
{
    public static TypedInput None { get; } = new([], [], []);

    [JsonIgnore]
    public bool IsEmpty => Lines.Count == 0 && Bytes.Length == 0 && Unprocessed.Length == 0;

    /// <summary>Whether it can have come from a line discipline: N_TTY_BUF_SIZE bytes, and what pty.c lets wait behind them.</summary>
    [JsonIgnore]
    public bool IsValid =>
        Lines is not null && Bytes is not null && Unprocessed is { Length: <= TerminalInput.MostBehind } && Lines.All(line => line is not null) && Lines.Count <= TerminalInput.MostHeld
        && Lines.Sum(line => (long)line.Length) + Bytes.Length <= TerminalInput.MostHeld;
}

/// <summary>
/// Copies what has been typed at pseudo-terminals and not been read. No interface shows it, or where lines end, without taking it out: so code inside the process that has the
/// master takes it out and puts it back (<c>Spaces/typed.c</c>), to the end even when this process dies.
/// </summary>
internal sealed class TerminalInput
{
    /// <summary>N_TTY_BUF_SIZE of drivers/tty/n_tty.c.</summary>
    public const int MostHeld = 4096;

    /// <summary>What waits behind that at most: 8192 counted bytes of buffers that hold two for each, and one more buffer (drivers/tty/pty.c, tty_buffer.c).</summary>
    public const int MostBehind = 20480;

    /// <summary>Bytes of complete lines from which on more may wait than has room.</summary>
    private const int Many = 1024;

    // struct turn of typed.c.
    private const int Size = 58128, ErrorAt = 28, SettingsAt = 32, FoundAt = 252, LengthsAt = 272, BytesAt = 8976, ByteRoom = 24576;

    private const int EIO = 5, EAGAIN = 11, F_GETFL = 3, F_SETFL = 4, Patience = 5000;
    private const uint IXON = 0x400, IUTF8 = 0x4000, PARMRK = 8, IEXTEN = 0x8000, EXTPROC = 0x10000;
    private const int VEOF = 4, VMIN = 6, VSTOP = 9, VEOL = 11, VLNEXT = 15, VEOL2 = 16, Characters = 17, CharacterCount = 19;

    private static readonly byte[] code = FlatProgram.Load("typed.bin");

    private readonly Lock gate = new();
    private readonly Dictionary<int, TypedInput> inputs = [];

    /// <summary>What was found, by the number of the terminal.</summary>
    public IReadOnlyDictionary<int, TypedInput> Inputs => inputs;

    /// <summary>Why input could not be put back as it is.</summary>
    /// <param name="settings">The terminal's settings.</param>
    /// <param name="count">Bytes that can be read (FIONREAD).</param>
    /// <returns>Null when it can.</returns>
    public static string? Obstacle(ReadOnlySpan<byte> settings, int count) =>
        (LocalModes(settings) & EXTPROC) != 0 ? "in a terminal whose input is processed elsewhere (EXTPROC)"
        : (MemoryMarshal.Read<uint>(settings) & PARMRK) != 0 ? "in a terminal that marks errors (PARMRK)"
        : !IsCanonical(settings) && count >= MostHeld ? "a byte more than is put back"
        : null;

    /// <summary>Whether input comes in lines.</summary>
    public static bool IsCanonical(ReadOnlySpan<byte> settings) => (LocalModes(settings) & (ICANON | EXTPROC)) == ICANON;

    /// <summary>Whether input waits for who reads a slave, as far as it is a whole line where it comes in lines.</summary>
    public static bool Waits(DescriptorFacts slave) => slave.Ask(fd => Number(fd, FIONREAD)) > 0;

    /// <summary>Copies the input that waits behind a process's masters.</summary>
    /// <param name="descriptors">All its descriptors.</param>
    /// <param name="canBeOpened">Whether opening and closing the slave of that number leaves everything as it is.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public void Copy(IReadOnlyList<DescriptorFacts> descriptors, Func<int, bool> canBeOpened, InjectedCalls calls)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts master in descriptors.Where(facts => DescriptorKinds.Of(facts) is PseudoTerminals))
        {
            if (PseudoTerminals.Index(master) is { } index && !inputs.ContainsKey(index) && canBeOpened(index) && master.Ask(Settings) is { } settings)
            {
                HashSet<int> numbers = [.. descriptors.Select(facts => facts.Number)];
                int free = Enumerable.Range(0, numbers.Count + 1).First(number => !numbers.Contains(number));
                try
                {
                    if (Copy(master, settings, free, calls) is { } input)
                    {
                        inputs[index] = input;
                    }
                }
                finally
                {
                    calls.FinishRow();
                }
            }
        }
    }

    /// <summary>Puts input into a terminal that has none.</summary>
    /// <param name="master">A descriptor of ours for its master.</param>
    /// <param name="slave">One for its slave.</param>
    /// <param name="what">The terminal, for errors.</param>
    /// <param name="settings">Its settings, which it has.</param>
    /// <param name="input">The input.</param>
    /// <exception cref="BridgeException"><c>pty.input</c>.</exception>
    public static void Put(int master, int slave, string what, byte[] settings, TypedInput input)
    {
        int flags = Libc.fcntl(master, F_GETFL, 0);
        _ = Libc.fcntl(master, F_SETFL, flags | Libc.O_NONBLOCK);
        Type(master, slave, what, settings, input);
        _ = Libc.fcntl(master, F_SETFL, flags);
    }

    private static void Type(int master, int slave, string what, byte[] settings, TypedInput input)
    {
        Modes modes = Modes.Of(settings);
        Set(master, what, IsCanonical(settings) ? modes.Put : modes.Raw);
        if (IsCanonical(settings))
        {
            (byte[] bytes, int last) = modes.Compose(input);
            Write(master, what, bytes.AsSpan(0, last), bytes.Length);
            Write(master, what, [modes.Stop], 1);
            Wait(what, () => (Poll(slave, POLLOUT) & POLLOUT) == 0);
            Set(master, what, modes.Going);
            if (last < bytes.Length)
            {
                Write(master, what, bytes.AsSpan(last), bytes.Length);
                Thread.Sleep(30);
            }
        }
        else
        {
            Write(master, what, input.Bytes, MostHeld);
            Wait(what, () => Number(slave, FIONREAD) >= input.Bytes.Length);
        }

        Set(master, what, settings);
        Write(master, what, input.Unprocessed, 256);
    }

    private static TypedInput? Copy(DescriptorFacts master, byte[] settings, int free, InjectedCalls calls)
    {
        BridgeException Failure(string what, long result) => new("pty.unread", $"looking at the input of {master.Link} of process {master.InnerPid}", $"{what}: {Errno.Text((int)-result)}", "try again");
        InjectedCall close = new(X64.Close, (ulong)free);
        long opened = calls.Begin(new InjectedCall(X64.Ioctl, (ulong)master.Number, TIOCGPTPEER, Libc.O_RDWR | Libc.O_NOCTTY | Libc.O_NONBLOCK), close);
        if (opened != free)
        {
            throw Failure("opening its other end", Math.Min(opened, -EAGAIN));
        }

        (int peer, int error) = Libc.CopyDescriptor(master.Pid, free);
        if (peer < 0)
        {
            throw Failure("looking at its other end", -error);
        }

        short events = Poll(peer, POLLIN | POLLOUT);
        int count = Number(peer, FIONREAD) ?? 0;
        bool exclusive = Number(peer, TIOCGEXCL) > 0 || Number(peer, TIOCGETD) != 0;
        _ = Libc.close(peer);
        bool canonical = IsCanonical(settings);
        if ((events & POLLOUT) == 0 || exclusive || Obstacle(settings, count) is not null || (!canonical && count == 0))
        {
            // Nothing is there, or nothing shows: what does show has been refused.
            return null;
        }

        bool packets = master.Ask(fd => Number(fd, TIOCGPKT)) > 0;
        ulong at = InjectedCalls.FindRoom(master.Pid, Size);
        (InjectedCall data, InjectedCall program, InjectedCall unmap) = InjectedCalls.Room(at, Size);
        long mapped = calls.Begin(data, program, unmap, close);
        long second = calls.Next();
        if (mapped != (long)at || second != (long)InjectedCalls.CodeAt(at, Size))
        {
            throw Failure("making room", mapped < 0 ? mapped : Math.Min(second, -EAGAIN));
        }

        byte[] turn = Modes.Of(settings).Turn(master.Number, free, packets, canonical, canonical && count >= Many);
        calls.Write(at, turn);
        calls.RunCode(
            code, InjectedCalls.CodeAt(at, Size),
            [
                new InjectedCall(X64.Ioctl, (ulong)master.Number, TCSETS2), new InjectedCall(X64.Ioctl, (ulong)master.Number, TIOCPKT), new InjectedCall(X64.Ioctl, (ulong)free, FIONREAD),
                new InjectedCall(X64.Read, (ulong)free), new InjectedCall(X64.Write, (ulong)master.Number), new InjectedCall(X64.Poll), new InjectedCall(X64.Fcntl, (ulong)master.Number, F_SETFL),
                new InjectedCall(X64.Fcntl, (ulong)master.Number, F_GETFL),
            ],
            registers => registers with { Rdi = at },
            () => turn = calls.Read(at, BytesAt + ByteRoom));
        int result = BinaryPrimitives.ReadInt32LittleEndian(turn.AsSpan(ErrorAt));
        // A process in the background of its own terminal may not read there; another may have the master too.
        return result == -EIO ? null
            : result == 0 ? Found(turn) : throw Failure("taking it out and putting it back", result);
    }

    private static TypedInput Found(ReadOnlySpan<byte> turn)
    {
        ReadOnlySpan<int> found = MemoryMarshal.Cast<byte, int>(turn.Slice(FoundAt, 16));
        (int count, int behind, int processed, int total) = (found[0], found[1], found[2], found[3]);
        List<byte[]> lines = [];
        int at = BytesAt;
        for (int i = 0; i < count; i++)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(turn[(LengthsAt + i * 2)..]);
            lines.Add(turn.Slice(at, length).ToArray());
            at += length;
        }

        return new TypedInput(lines, turn.Slice(BytesAt + behind, processed).ToArray(), turn[(BytesAt + behind + processed)..(BytesAt + total)].ToArray());
    }

    private static unsafe void Set(int master, string what, byte[] settings)
    {
        fixed (byte* p = settings)
        {
            if (Libc.ioctl(master, TCSETS2, p) < 0)
            {
                throw new BridgeException("pty.input", $"typing at {what}", $"settings: {Errno.Text(Libc.LastError)}");
            }
        }
    }

    private static unsafe void Write(int master, string what, ReadOnlySpan<byte> bytes, int piece)
    {
        long until = Environment.TickCount64 + Patience;
        for (int done = 0; done < bytes.Length;)
        {
            // Beyond what two bytes for each counted one fill, the last buffer takes all that is left.
            int count = Math.Min(bytes.Length - done, done >= MostHeld * 4 ? MostHeld : piece);
            fixed (byte* p = bytes[done..])
            {
                nint written = Libc.write(master, p, (nuint)count);
                if (written < 0 && (Libc.LastError != EAGAIN || Environment.TickCount64 > until))
                {
                    throw new BridgeException("pty.input", $"typing at {what}", Errno.Text(Libc.LastError));
                }

                done += (int)Math.Max(0, written);
                if (written <= 0)
                {
                    Thread.Sleep(1);
                }
            }
        }
    }

    private static void Wait(string what, Func<bool> condition)
    {
        for (long until = Environment.TickCount64 + Patience; !condition(); Thread.Sleep(1))
        {
            if (Environment.TickCount64 > until)
            {
                throw new BridgeException("pty.input", $"typing at {what}", $"it did not arrive within {Patience} ms", "try again");
            }
        }
    }

    /// <summary>Settings of a terminal while its input is out: no echo, no signals, nothing changed on the way.</summary>
    /// <param name="Original">As they are.</param>
    /// <param name="Quiet">Without any processing, but canonical or not as before: going from one to the other makes lines forgotten.</param>
    /// <param name="Raw">Not canonical.</param>
    /// <param name="Put">Canonical: a byte behind VLNEXT is taken as it is, others end lines, one stops output.</param>
    /// <param name="Going">The same, none stops output.</param>
    /// <param name="Ends">VEOL and VEOL2, 0 where there is none.</param>
    /// <param name="Next">VLNEXT of the two.</param>
    /// <param name="Eof">VEOF of the two.</param>
    /// <param name="Stop">VSTOP of the first.</param>
    private sealed record Modes(byte[] Original, byte[] Quiet, byte[] Raw, byte[] Put, byte[] Going, byte[] Ends, byte Next, byte Eof, byte Stop)
    {
        public static Modes Of(byte[] settings)
        {
            uint utf8 = MemoryMarshal.Read<uint>(settings) & IUTF8;
            bool extended = (LocalModes(settings) & IEXTEN) != 0;
            byte[] ends = [settings[Characters + VEOL], extended ? settings[Characters + VEOL2] : (byte)0];

            // Those of the terminal itself where they can serve: a byte that arrives late then means the same.
            List<byte> chosen = [];
            byte Choose(byte wanted)
            {
                byte choice = ((ReadOnlySpan<byte>)[wanted, 0x16, 0x04, 0x13, 0x11, 0x0f]).ToArray().First(value => value is not (0 or (byte)'\n') && !ends.Contains(value) && !chosen.Contains(value));
                chosen.Add(choice);
                return choice;
            }

            byte next = Choose(extended ? settings[Characters + VLNEXT] : (byte)0);
            byte eof = Choose(settings[Characters + VEOF]);
            byte stop = Choose(0);
            (int, byte)[] characters = [(VLNEXT, next), (VEOF, eof), (VSTOP, stop), (VEOL, ends[0]), (VEOL2, ends[1])];
            return new Modes(
                settings, Plain(settings, utf8, LocalModes(settings) & ICANON, []), Plain(settings, utf8, 0, []), Plain(settings, utf8 | IXON, ICANON | IEXTEN, characters),
                Plain(settings, utf8, ICANON | IEXTEN, characters), ends, next, eof, stop);
        }

        /// <summary>The struct turn of typed.c, up to what is found.</summary>
        public byte[] Turn(int master, int slave, bool packets, bool canonical, bool keep)
        {
            byte[] turn = new byte[FoundAt];
            MemoryMarshal.AsBytes<int>([master, slave, packets ? 1 : 0, canonical ? 1 : 0, keep ? 1 : 0]).CopyTo(turn);
            ((ReadOnlySpan<byte>)[.. Ends, Next, Eof, Stop]).CopyTo(turn.AsSpan(20));
            ((ReadOnlySpan<byte>)[.. Original, .. Quiet, .. Raw, .. Put, .. Going]).CopyTo(turn.AsSpan(SettingsAt));
            return turn;
        }

        /// <summary>What has to be written for lines and the beginning of another to be there, and up to where before the byte that stops output.</summary>
        public (byte[] Bytes, int Last) Compose(TypedInput input)
        {
            List<byte> bytes = [];
            int last = 0;
            int slots = input.Bytes.Length;
            void Literal(ReadOnlySpan<byte> text)
            {
                foreach (byte value in text)
                {
                    last = bytes.Count;
                    bytes.Add(Next);
                    bytes.Add(value);
                }
            }

            foreach (byte[] line in input.Lines)
            {
                bool byByte = line.Length > 0 && line[^1] is not 0 and var end && (end == '\n' || Ends.Contains(end));
                Literal(byByte ? line.AsSpan(..^1) : line);
                last = bytes.Count;
                bytes.Add(byByte ? line[^1] : Eof);
                slots += line.Length + (byByte ? 0 : 1);
            }

            Literal(input.Bytes);
            return ([.. bytes], input.Lines.Count > 0 && slots >= MostHeld - 1 ? last : bytes.Count);
        }

        private static byte[] Plain(byte[] settings, uint input, uint local, ReadOnlySpan<(int, byte)> characters)
        {
            byte[] plain = [.. settings];
            MemoryMarshal.Write(plain, input);
            MemoryMarshal.Write(plain.AsSpan(12), local);
            Span<byte> all = plain.AsSpan(Characters, CharacterCount);
            all.Clear();
            all[VMIN] = 1;
            foreach ((int at, byte value) in characters)
            {
                all[at] = value;
            }

            return plain;
        }
    }
}
