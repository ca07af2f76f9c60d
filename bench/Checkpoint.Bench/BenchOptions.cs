using System.Globalization;

namespace Holdfast.Checkpoint.Bench;

/// <summary>What the command line asks for.</summary>
internal sealed record BenchOptions
{
    private const string Usage = """
        usage: Checkpoint.Bench [--place DIR] [--pairs N] [--only CASES] [--intercept yes] [--redis MIB] [--json FILE] [--plots DIR] [--holdfast FILE]
               Checkpoint.Bench --changes MIB [--windows N] [--seconds S] [--place DIR] [--pairs N] [--json FILE] [--holdfast FILE]
               Checkpoint.Bench --family MIB [--processes N] [--place DIR] [--pairs N] [--json FILE] [--holdfast FILE]
          --place DIR      where the store and the yardsticks' file are (default: /dev/shm)
          --pairs N        measured pairs of yardstick and operation per case, 1-99 (default: 15)
          --only CASES     some of PROCESSESxMIB or PROCESSESxMIBxTHREADS, comma separated, such as 1x256,1x1x64
                           (default: 1x1,16x1,128x1,1x1x64,1x1x1000,1x64,1x256,1x1024)
          --intercept yes  with --place elsewhere than /dev/shm: its programs load the interceptor: how long all processes took to arrive at the barrier before the freeze is printed too
          --redis MIB      then a redis server with so much in it: its first answer after either kind of restore (of --only 0: nothing else)
          --changes MIB    instead of all that: a process of so many MiB of which one page in a hundred changes between two checkpoints
          --windows N      and so many times, how fast it writes to its memory without, with, and with a tracked checkpoint in S seconds (default: 1; 60 s)
          --family MIB     instead of all that: a process of so many MiB alone, and with children that share all of it copy-on-write
          --processes N    how many these are with it (default: 32)
          --json FILE      writes every figure to FILE too
          --plots DIR      draws the freeze over memory, over processes and over threads: freeze-memory.svg, freeze-processes.svg, freeze-threads.svg there
          --holdfast FILE  the program to measure (default: what ./holdfast builds)
        ends with 1 when an operation takes more than three times its yardstick at 256 MiB and above
        """;

    public string Place { get; private init; } = "/dev/shm";

    public int Pairs { get; private init; } = 15;

    public IReadOnlyList<BenchCase> Cases { get; private init; } = BenchCase.All;

    /// <summary>Whether the programs load the interceptor.</summary>
    public bool Intercept { get; private init; }

    public int? Redis { get; private init; }

    /// <summary>MiB of the application of <see cref="ChangeBench"/>; 0 for the other cases.</summary>
    public int ChangesOf { get; private init; }

    /// <summary>MiB of the application of <see cref="FamilyBench"/>; 0 for the other cases.</summary>
    public int FamilyOf { get; private init; }

    public int Processes { get; private init; } = 32;

    public int Windows { get; private init; } = 1;

    public int Seconds { get; private init; } = 60;

    public string? Json { get; private init; }

    public string? Plots { get; private init; }

    public string? Holdfast { get; private init; }

    /// <summary>Null, with the usage printed, when they make no sense.</summary>
    public static BenchOptions? Parse(string[] args, TextWriter errors)
    {
        BenchOptions? options = new();
        for (int i = 0; i < args.Length && options is not null; i += 2)
        {
            string? value = i + 1 < args.Length ? args[i + 1] : null;
            options = (args[i], value) switch
            {
                (_, null) => null,
                ("--place", _) => options with { Place = Path.GetFullPath(value) },
                ("--pairs", _) when int.TryParse(value, CultureInfo.InvariantCulture, out int pairs) && pairs is >= 1 and <= 99 => options with { Pairs = pairs },
                ("--only", _) when ParseCases(value) is { } cases => options with { Cases = cases },
                ("--only", "0") => options with { Cases = [] },
                ("--intercept", "yes") => options with { Intercept = true },
                ("--redis", _) when RedisBench.IsInstalled && Number(value, 1, 65536) is { } redis => options with { Redis = redis },
                ("--changes", _) when Number(value, 1, 65536) is { } size => options with { ChangesOf = size },
                ("--family", _) when Number(value, 1, 65536) is { } size => options with { FamilyOf = size },
                ("--processes", _) when Number(value, 2, 200) is { } processes => options with { Processes = processes },
                ("--windows", _) when Number(value, 0, 99) is { } windows => options with { Windows = windows },
                ("--seconds", _) when Number(value, 1, 3600) is { } seconds => options with { Seconds = seconds },
                ("--json", _) => options with { Json = Path.GetFullPath(value) },
                ("--plots", _) => options with { Plots = Path.GetFullPath(value) },
                ("--holdfast", _) => options with { Holdfast = Path.GetFullPath(value) },
                _ => null,
            };
        }

        if (options is null || !Directory.Exists(options.Place))
        {
            errors.WriteLine(options is null ? Usage : $"there is no directory {options.Place}");
            return null;
        }

        if (options.Intercept && options.Place.StartsWith("/dev/shm", StringComparison.Ordinal))
        {
            errors.WriteLine("--intercept needs a --place elsewhere: an application that is intercepted has a /dev/shm of its own");
            return null;
        }

        return options;
    }

    private static int? Number(string text, int least, int most) =>
        int.TryParse(text, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most ? number : null;

    private static List<BenchCase>? ParseCases(string text)
    {
        List<BenchCase> cases = [];
        foreach (string word in text.Split(','))
        {
            string[] parts = word.Split('x');
            if (parts.Length is not (2 or 3) || Number(parts[0], 1, 4096) is not { } processes || Number(parts[1], 1, 65536) is not { } size
                || Number(parts.Length == 3 ? parts[2] : "1", 1, 30_000) is not { } threads)
            {
                return null;
            }

            cases.Add(new BenchCase(processes, size, threads));
        }

        return cases;
    }
}
