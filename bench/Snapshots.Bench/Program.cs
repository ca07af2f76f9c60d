using Holdfast.Snapshots.Bench;

return args switch
{
    ["memory", ..] => MemoryBench.Run(args[1..]),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("usage: memory [MiB] [directory]   writing and reading pages beside plain write and read");
    return 2;
}
