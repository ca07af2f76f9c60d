using Holdfast.Checkpoint.Bench;

if (BenchOptions.Parse(args, Console.Error) is not { } options)
{
    return 2;
}

try
{
    if (options.ChangesOf > 0)
    {
        using ChangeBench changes = new(options);
        IReadOnlyList<ChangePair> pairs = changes.Pairs();
        IReadOnlyList<WriteRates> rates = changes.Rates();
        ChangeBench.Print(Console.Out, options, pairs, rates);
        if (options.Json is { } json)
        {
            Report.WriteJson(json, options, pairs, rates);
        }

        return 0;
    }

    if (options.FamilyOf > 0)
    {
        using FamilyBench family = new(options);
        IReadOnlyList<FamilyPair> pairs = family.Run();
        FamilyBench.Print(Console.Out, options, pairs);
        if (options.Json is { } json)
        {
            Report.WriteJson(json, options, pairs);
        }

        return 0;
    }

    using CheckpointBench bench = new(options);
    ConsoleCancelEventHandler cancel = (_, e) =>
    {
        // The commands that are running end with the terminal's signal too; the bench then cleans up as after any failure.
        e.Cancel = true;
        bench.Cancel();
    };
    Console.CancelKeyPress += cancel;
    IReadOnlyList<CaseResult> results = bench.Run();
    Report.Print(Console.Out, options, results);
    if (options.Redis is { } mib)
    {
        Report.PrintRedis(Console.Out, mib, bench.RunRedis(mib));
    }

    if (options.Json is { } file)
    {
        Report.WriteJson(file, options, results);
    }

    if (options.Plots is { } directory)
    {
        Plots.Write(directory, results);
    }

    return results.Any(result => result.IsDefect) ? 1 : 0;
}
catch (BenchException e)
{
    Console.Error.WriteLine($"checkpoint bench: {e.Message}");
    return 3;
}
