using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.TerminalCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Masters of pseudo-terminals (pty(7)). Whose slaves are the application's, and who controls them, only shows across processes: <see cref="TerminalCensus"/>.
/// </summary>
internal sealed class PseudoTerminals : IDescriptorKind
{
    /// <summary>Numbers that a terminal can have: those below the kernel's limit, /proc/sys/kernel/pty/max.</summary>
    public const int Numbers = 4096;

    public bool Recognise(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.CharacterDevice && facts.Identity.RawDevice == (5ul << 32 | 2);

    public Refusal? Check(DescriptorFacts facts) =>
        facts.Path is not ("/dev/ptmx" or "/dev/pts/ptmx") ? facts.Refuse("pty.instance", "its slave is not in /dev/pts", "close it before the checkpoint")
        : Index(facts) is not (>= 0 and < Numbers) ? facts.Refuse("fd.device", "it is no master of a pseudo-terminal", "close it before the checkpoint")
        : HasOtherDiscipline(facts) ? OtherDiscipline(facts)
        : null;

    /// <summary>Whether bytes go through something else than N_TTY; each side has its own.</summary>
    public static bool HasOtherDiscipline(DescriptorFacts facts) => facts.Ask(fd => Number(fd, TIOCGETD)) is not 0;

    public static Refusal OtherDiscipline(DescriptorFacts facts) => facts.Refuse("pty.discipline", "it has another line discipline than N_TTY", "put it back before the checkpoint");

    public OpenFileImage Capture(DescriptorFacts facts) => new TerminalMasterImage { Flags = facts.Flags, Terminal = Index(facts) ?? 0 };

    /// <summary>The number of its slave in /dev/pts, or null.</summary>
    public static int? Index(DescriptorFacts facts) => int.TryParse(facts.Field("tty-index"), CultureInfo.InvariantCulture, out int index) ? index : facts.Ask(fd => Number(fd, TIOCGPTN));
}

/// <summary>Terminals of the application's own whose master is closed: reading gives the end, anything else an error.</summary>
internal sealed class HungUpTerminals : IDescriptorKind
{
    // With its master, a slave's name goes. A terminal of another instance of devpts is the starter's, and a restore attaches the restorer's in its place.
    public bool Recognise(DescriptorFacts facts) => facts.Deleted && TerminalCensus.IsSlave(facts) && FileIdentity.TryOf($"/proc/{facts.Pid}/root/dev/pts")?.Device == facts.Identity.Device;

    public Refusal? Check(DescriptorFacts facts) => null;

    public OpenFileImage Capture(DescriptorFacts facts) => new HungUpTerminalImage { Flags = facts.Flags };
}

/// <summary>A pseudo-terminal of the application's own.</summary>
internal sealed record PseudoTerminalImage
{
    /// <summary>Number of the slave in /dev/pts.</summary>
    public required int Index { get; init; }

    /// <summary><c>struct termios2</c>. Both sides have one.</summary>
    public required byte[] Settings { get; init; }

    /// <summary><c>struct winsize</c>: rows, columns, width and height in pixels, 16 bits each.</summary>
    public required ulong Window { get; init; }

    /// <summary>TIOCPKT.</summary>
    public required bool Packets { get; init; }

    /// <summary>Its slave cannot be opened yet: TIOCSPTLCK.</summary>
    public required bool Locked { get; init; }

    /// <summary>Its slave cannot be opened any more: TIOCEXCL.</summary>
    public required bool Exclusive { get; init; }

    /// <summary>The slave was open, and is not.</summary>
    public required bool SlaveClosed { get; init; }

    /// <summary>Owner of the slave.</summary>
    public required uint Owner { get; init; }

    /// <summary>Group of the slave.</summary>
    public required uint Group { get; init; }

    /// <summary>Permissions of the slave.</summary>
    public required uint Mode { get; init; }

    // The generated reader of images assigns null where there is none in one: an initial value of an init property is lost there.
    /// <summary>What was written to the slave and not read from the master.</summary>
    public byte[] Output { get; init => field = value ?? []; } = [];

    /// <summary>What was written to the master and not read from the slave.</summary>
    public TypedInput Input { get; init => field = value ?? TypedInput.None; } = TypedInput.None;

    /// <summary>The session whose controlling terminal it is; 0 for none.</summary>
    public int Session { get; init; }

    /// <summary>The process group in its foreground; 0 for none.</summary>
    public int Foreground { get; init; }

    /// <summary>Processes of the session that have given it up (TIOCNOTTY), or were never given it.</summary>
    public IReadOnlyList<int> Without { get; init => field = value ?? []; } = [];

    /// <summary>Whether an image's terminals can be built.</summary>
    public static bool AreValid(ApplicationImage image)
    {
        HashSet<int> numbers = [];
        HashSet<int> sessions = [];
        return image.Terminals.All(terminal =>
            terminal.Index is >= 0 and < PseudoTerminals.Numbers && numbers.Add(terminal.Index) && terminal.Settings.Length == SettingsSize && terminal.Mode <= 0xfff && terminal.Output.Length <= TerminalOutput.Maximum && terminal.Input.IsValid
            && (terminal.Session == 0 ? terminal is { Foreground: 0, Without.Count: 0 } : sessions.Add(terminal.Session) && terminal.Members(image).Any(member => member.Pid == terminal.Session)
                && (terminal.Foreground == 0 || image.Processes.Any(process => process.Session == terminal.Session && process.ProcessGroup == terminal.Foreground))
                && terminal.Without.All(pid => pid != terminal.Session && image.Processes.Any(process => process.Pid == pid && process.Session == terminal.Session && process.ZombieStatus is null))));
    }

    /// <summary>The living processes whose controlling terminal it is.</summary>
    public IEnumerable<ProcessImage> Members(ApplicationImage image) =>
        image.Processes.Where(process => Session != 0 && process.Session == Session && process.ZombieStatus is null && !Without.Contains(process.Pid));
}

/// <summary>A master.</summary>
internal sealed record TerminalMasterImage : OpenFileImage
{
    /// <summary><see cref="PseudoTerminalImage.Index"/>.</summary>
    public required int Terminal { get; init; }

    public override string Description => $"master of /dev/pts/{Terminal}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) =>
        checks.Image.Scope == ApplicationScope.Tree && File.Exists($"/dev/pts/{Terminal}")
            ? [new Refusal("pty.taken", 0, null, $"/dev/pts/{Terminal}", "the number is another terminal's", "close that terminal, or run the application in a space of its own next time")]
            : [];

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        tape.Add(Description, X64.Dup2, (ulong)context.Terminals[Terminal].Master, (ulong)number);
        RestoreContext.SetFlags(tape, Description, number, Flags);
    }
}

/// <summary>A slave.</summary>
internal sealed record TerminalSlaveImage : OpenFileImage
{
    /// <summary><see cref="PseudoTerminalImage.Index"/>.</summary>
    public required int Terminal { get; init; }

    /// <summary>It was opened as /dev/tty.</summary>
    public required bool ByControl { get; init; }

    public override string Description => ByControl ? $"/dev/tty (/dev/pts/{Terminal})" : $"/dev/pts/{Terminal}";

    public override bool OpenedLate => ByControl;

    /// <summary>Whether it can be built: its terminal is there, and for /dev/tty somebody whom that controls.</summary>
    public bool IsValid(ApplicationImage image) =>
        image.Terminals.FirstOrDefault(terminal => terminal.Index == Terminal) is { } terminal && (!ByControl || terminal.Members(image).Any());

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        if (!ByControl)
        {
            tape.Add($"opening {Description}", X64.Ioctl, (ulong)context.Terminals[Terminal].Master, TIOCGPTPEER, (ulong)((Flags & (Libc.O_ACCMODE | Libc.O_NONBLOCK)) | Libc.O_NOCTTY));
            RestoreContext.Place(tape, Description, number);
            RestoreContext.SetFlags(tape, Description, number, Flags);
        }
    }

    public override void OpenLate(SyscallTape tape, int number)
    {
        tape.Add($"opening {Description}", X64.Open, tape.Place("/dev/tty"), (ulong)((Flags & (Libc.O_ACCMODE | Libc.O_NONBLOCK)) | Libc.O_NOCTTY), 0);
        RestoreContext.Place(tape, Description, number);
        RestoreContext.SetFlags(tape, Description, number, Flags);
    }
}

/// <summary>A slave whose master is closed.</summary>
internal sealed record HungUpTerminalImage : OpenFileImage
{
    public override string Description => "hung-up terminal";

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        int master = context.Spare();
        context.OpenAs(tape, "/dev/ptmx", Libc.O_RDWR, master);
        tape.Add("unlocking a terminal", X64.Ioctl, (ulong)master, TIOCSPTLCK, tape.Place(0));
        tape.Add("opening a terminal", X64.Ioctl, (ulong)master, TIOCGPTPEER, (ulong)((Flags & Libc.O_ACCMODE) | Libc.O_NOCTTY));
        RestoreContext.Place(tape, "a terminal", number);
        tape.Add("hanging up a terminal", X64.Close, (ulong)master);
        RestoreContext.SetFlags(tape, Description, number, Flags);
    }
}
