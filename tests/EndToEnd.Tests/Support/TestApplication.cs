using System.Globalization;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>One application under Holdfast in a store of its own. Disposing it ends everything that it started, whatever happened.</summary>
internal sealed class TestApplication : IDisposable
{
    private static readonly TimeSpan CommandBound = TimeSpan.FromSeconds(120);
    private readonly CommandRunner _runner;
    private readonly IReadOnlyList<string> _prefix;
    private HugePagePool? _pages;

    private TestApplication(string name, IReadOnlyDictionary<string, string>? environment)
        : this(name, "", environment)
    {
    }

    private TestApplication(string name, string configuration, IReadOnlyDictionary<string, string>? environment, OrdinaryUser? user = null)
    {
        Name = name;
        _prefix = user?.Prefix ?? [];
        foreach (var path in user is null ? [] : (string[])[Work.Top, Work.Path, Work.Scratch])
        {
            user!.Own(path);
        }

        var file = Path.Combine(Work.Scratch, "holdfast.conf");
        File.WriteAllText(file, configuration);
        Dictionary<string, string> all = new(environment ?? new Dictionary<string, string>())
        {
            [ProcessScan.MarkVariable] = Work.Path,
            ["HOLDFAST_CONFIG"] = file,
        };
        _runner = new CommandRunner(Work.Scratch, all);
    }

    public string Name { get; }

    public WorkDirectory Work { get; } = new();

    /// <summary>Set when the program said that this machine lacks its subject.</summary>
    public bool Skipped { get; private set; }

    /// <summary>Starts a state program and waits until it is ready.</summary>
    public static TestApplication StartProgram(string program, string programCase, double seconds = 4, OrdinaryUser? user = null, IReadOnlyList<string>? options = null, string configuration = "")
    {
        // What is not needed at once is loaded so slowly that there is time to do much before.
        // Half of the programs, by the seed, are copied by clone(2) however small they are.
        var copied = (LongMode.Seed + $"{program} {programCase}".Sum(c => c)) % 2 == 0;
        TestApplication application = new(program.Replace('_', '-'), $"holdfast.restore.loading-rate = 256KiB\n{(copied ? "holdfast.checkpoint.hold-up-to = 1B" : "")}\n{(StateProgram.Named(program).Refused ? "holdfast.checkpoint.retry-for = 200ms" : "")}\n{configuration}", Bounds(seconds), user);
        application._pages = new HugePagePool(StateProgram.Named(program).HugePages);
        List<string> command = [BuiltPrograms.StateProgram(program), application.Work.Path];
        if (programCase.Length > 0)
        {
            command.Add(programCase);
        }

        return application.Launch(command, options);
    }

    /// <summary>One that the test starts itself.</summary>
    public static TestApplication NotStarted(string name, OrdinaryUser? user = null, IReadOnlyDictionary<string, string>? environment = null) => new(name, "", environment, user);

    /// <summary>Starts any command that follows the protocol; WORK in its arguments stands for the work directory.</summary>
    public static TestApplication StartCommand(string name, IReadOnlyList<string> command, IReadOnlyList<string>? options = null)
    {
        TestApplication application = new(name, null) { Options = options ?? [] };
        return application.Launch([.. command.Select(word => word.Replace("WORK", application.Work.Path, StringComparison.Ordinal))]);
    }

    /// <summary>Starts a state program without Holdfast, in a session of its own, and waits until it is ready.</summary>
    /// <returns>The application, and the pid of its root.</returns>
    public static (TestApplication Application, int Pid) StartAlone(string program, string programCase)
    {
        TestApplication application = new(program.Replace('_', '-'), Bounds(4));
        try
        {
            application._pages = new HugePagePool(StateProgram.Named(program).HugePages);
            // The pid of the shell is that of the program that it becomes.
            var number = Path.Combine(application.Work.Scratch, "pid");
            application._runner.Start(
                "/usr/bin/setsid",
                ["--fork", "/bin/sh", "-c", $"echo $$ >{number}; exec \"$@\"", "sh", BuiltPrograms.StateProgram(program), application.Work.Path, .. programCase.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
            Until.Required(() => application.Work.Has("ready") || application.Work.Result is not null, () => $"{program} did not get ready: {application.Describe()}");
            application.RequireNoEarlyEnd();
            return (application, int.Parse(File.ReadAllText(number), CultureInfo.InvariantCulture));
        }
        catch
        {
            application.Dispose();
            throw;
        }
    }

    /// <summary>A holdfast command with this application's store, output as JSON.</summary>
    public CommandResult Holdfast(string command, params IReadOnlyList<string> arguments) =>
        Command([Repository.HoldfastCommand, .. Arguments(command, arguments)]);

    /// <summary>Any command as the user whose application it is.</summary>
    public CommandResult Command(params IReadOnlyList<string> words) => As(_prefix, words);

    /// <summary>Any command as somebody else.</summary>
    public CommandResult As(IReadOnlyList<string> prefix, IReadOnlyList<string> words)
    {
        List<string> all = [.. prefix, .. words];
        return _runner.Run(CommandBound, all[0], all[1..]);
    }

    /// <summary>The same, left running.</summary>
    public RunningCommand StartHoldfast(string command, params IReadOnlyList<string> arguments)
    {
        List<string> all = [.. _prefix, Repository.HoldfastCommand, .. Arguments(command, arguments)];
        return _runner.Start(all[0], all[1..]);
    }

    /// <summary>The same, under another program such as strace.</summary>
    public CommandResult HoldfastUnder(IReadOnlyList<string> prefix, string command, params IReadOnlyList<string> arguments) =>
        _runner.Run(CommandBound, prefix[0], [.. prefix.Skip(1), Repository.HoldfastProgram, .. Arguments(command, arguments)]);

    /// <summary>A foreground command under another program that follows threads but lets go of what executes another program; left running.</summary>
    public RunningCommand StartHoldfastUnder(IReadOnlyList<string> prefix, string command, params IReadOnlyList<string> arguments) =>
        _runner.Start(prefix[0], [.. prefix.Skip(1), Repository.HoldfastProgram, .. Arguments(command, arguments)]);

    /// <summary>Asks whether it can be captured.</summary>
    /// <param name="pid">Its root where it has no name.</param>
    /// <returns>The codes of what is refused; none when it can.</returns>
    public IReadOnlyList<string> Check(string? pid = null) =>
    [
        .. Holdfast("check", pid ?? Name).Objects
            .Where(row => row.TryGetProperty("verdict", out var verdict) && verdict.GetString() == "no").Select(row => row.GetProperty("code").GetString()!),
    ];

    /// <summary>Takes a snapshot that must succeed.</summary>
    /// <returns>What the command printed; <c>snapshot</c> names the snapshot.</returns>
    public CommandResult Checkpoint()
    {
        var result = Holdfast("checkpoint", Name).Required();
        Work.Remember();
        return result;
    }

    /// <summary>
    /// The same for an application that connects and sends all the time: a moment at which bytes wait in a terminal, or for an end that has not been accepted
    /// or has no room, or at which it has yet to see that its call was refused, or reads what /proc says of itself, is refused by design, and another one is looked for.
    /// </summary>
    public CommandResult CheckpointBetweenBytes()
    {
        CommandResult? result = null;
        Until.Required(
            () => (result = Holdfast("checkpoint", Name)).ErrorCode is not ("socket.pending" or "socket.unsent" or "socket.error" or "pty.unread" or "file.renamed"),
            () => $"no moment between bytes: {result}");
        Work.Remember();
        return result!.Required();
    }

    /// <summary>Directories whose files belong to its snapshots; to be set before it is started.</summary>
    public IReadOnlyList<string> Volumes { get; set; } = [];

    /// <summary>Further options of <c>run</c>; to be set before it is started.</summary>
    public IReadOnlyList<string> Options { get; set; } = [];

    /// <summary>Starts a command in an application that was not started, and waits until it is ready.</summary>
    public void Start(IReadOnlyList<string> command) => Launch(command);

    /// <summary>Takes a snapshot that ends the application: nothing that it does afterwards can be lost.</summary>
    public CommandResult CheckpointAndStop(params IReadOnlyList<string> options)
    {
        var result = Holdfast("checkpoint", [Name, "--stop", .. options]).Required();
        Work.Remember();
        RequireNoProcess();
        return result;
    }

    /// <summary>Ends every process by the command, and waits until none is left.</summary>
    public void Kill()
    {
        Holdfast("kill", Name).Required();
        RequireNoProcess();
    }

    /// <summary>SIGKILL to each process and to what supervises them, without asking Holdfast.</summary>
    public void KillByForce()
    {
        ProcessScan.KillAll(Work.Path);
        RequireNoProcess();
    }

    /// <summary>Restores a snapshot (the newest unless named), which must succeed.</summary>
    /// <param name="snapshot">Which one.</param>
    /// <param name="filesAsIs">Whether files that changed since are used as they are.</param>
    /// <param name="lazy">Whether it runs before its memory is loaded.</param>
    public CommandResult Restore(string? snapshot = null, bool filesAsIs = false, bool lazy = false)
    {
        // In a volume that is the restore's to do.
        if (!Volumes.Contains(Work.Path))
        {
            Work.Forget();
        }

        List<string> arguments = [snapshot is null ? Name : $"{Name}@{snapshot}", "--detach"];
        if (filesAsIs)
        {
            arguments.AddRange(["--files", "as-is"]);
        }

        if (lazy)
        {
            arguments.Add("--lazy");
        }

        return Holdfast("restore", arguments).Required();
    }

    /// <summary>Restores a copy of a snapshot under another name, beside the original.</summary>
    public CommandResult RestoreBeside(string snapshot, string name) => Holdfast("restore", $"{Name}@{snapshot}", "--as", name, "--detach");

    /// <summary>Rehearses a restore of the newest snapshot, which must succeed, and leave files and processes as they were: none of the latter.</summary>
    public CommandResult Rehearse()
    {
        Work.Forget();
        var before = Work.Listing();
        var result = Holdfast("restore", Name, "--rehearse").Required();
        RequireNoProcess();
        var after = Work.Listing();
        return before.SequenceEqual(after)
            ? result
            : throw new EndToEndException($"a rehearsal changed files of {Name}: before {string.Join(", ", before.Except(after))}; after {string.Join(", ", after.Except(before))}");
    }

    /// <summary>Lets the program check itself and requires that it passes and ends.</summary>
    public void RequirePass()
    {
        Work.Mark("go");
        Until.Required(
            () => Work.Result is not null || Processes().Count == 0,
            () => $"{Name} has no result; its processes: {Describe()}");
        // A process may end a moment after its result is there, or its last one a moment before it is seen.
        Until.Required(() => Processes().Count == 0, () => $"{Name} says \"{Work.Result}\" but does not end: {Describe()}");
        // The init of its space, which records the end, is the last to go.
        Until.Required(
            () => !Holdfast("show", Name).Output.Contains("\"state\":\"running\"", StringComparison.Ordinal),
            () => $"{Name} has ended, but its supervisor still calls it running");
        if (Work.Result != "PASS")
        {
            throw new EndToEndException($"{Name}: {Work.Result ?? "ended without a result"}");
        }
    }

    public IReadOnlyList<MarkedProcess> Processes() => ProcessScan.Application(Work.Path);

    /// <summary>The processes of Holdfast that host this application's supervisor.</summary>
    public IReadOnlyList<MarkedProcess> Supervisors() => [.. ProcessScan.Marked(Work.Path).Where(p => p.IsHoldfast)];

    public void Dispose()
    {
        ProcessScan.KillAll(Work.Path);
        _pages?.Dispose();
        Work.Dispose();
    }

    public string Describe() =>
        string.Join("; ", Processes().Select(p => $"{p.Pid} ({p.InnerPid}) {p.State} {p.CommandLine} [{string.Join(' ', ProcessScan.Threads(p.Pid).Select(t => t.State))}]"));

    private TestApplication Launch(IReadOnlyList<string> command, IReadOnlyList<string>? options = null)
    {
        try
        {
            Holdfast("run", ["--detach", "--name", Name, .. Volumes.SelectMany(v => (string[])["--volume", v]), .. Options, .. options ?? [], "--", .. command]).Required();
            Until.Required(() => Work.Has("ready") || Work.Result is not null, () => $"{Name} did not get ready: {Describe()}");
            RequireNoEarlyEnd();
            return this;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>How long a state program works before it checks itself, at least, and for how long it waits.</summary>
    private static Dictionary<string, string> Bounds(double seconds) => new()
    {
        ["STATE_SECONDS"] = seconds.ToString(CultureInfo.InvariantCulture),
        ["STATE_BOUND"] = LongMode.Count(600, 6 * 3600).ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>Before anything was done to it only those may have ended whose subject this machine lacks.</summary>
    private void RequireNoEarlyEnd()
    {
        var early = Work.Result;
        Skipped = early?.StartsWith("SKIP", StringComparison.Ordinal) ?? false;
        if (early is not null && !Skipped)
        {
            throw new EndToEndException($"{Name}, before anything was done to it: {early}");
        }
    }

    /// <summary>A holdfast command's arguments, with this application's store and JSON for output.</summary>
    public List<string> Arguments(string command, IReadOnlyList<string> arguments) =>
        [command, "--store", Work.Store, "-o", "json", .. arguments];

    public void RequireNoProcess() =>
        Until.Required(() => Processes().Count == 0, () => $"{Name} was killed but lives: {Describe()}");
}
