using Holdfast.Snapshots.Bench;

return args switch
{
    ["memory", ..] => MemoryBench.Run(args[1..]),
    ["tables", ..] => TableBench.Run(args[1..]),
    ["chain", ..] => await ChainBench.RunAsync(args[1..]),
    ["make", var directory, ..] => ChainBench.MakeStore(directory, args[2..]),
    ["tools", ..] => await ToolsBench.RunAsync(args[1..]),
    ["list", var directory] => ListBench.Run(directory),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        usage: memory [MiB] [directory]       writing and reading pages beside plain write and read
               tables [extents]               opening and comparing manifests with many extents
               chain [MiB] [snapshots]        migrating a chain over loopback with TLS beside a plain TLS socket
               make DIRECTORY [MiB] [snapshots]   only such a chain, for chain.py
               tools image [MiB] [steps]      a block image with 1 % random changes a step, beside restic, borg and rsync
               tools tree DIRECTORY [steps]   versions of a repository, or a copy of another tree with edits, beside the same
               tools redis [steps]            the memory of a busy redis, beside the same
                     --place DIR              where all of tools is kept; otherwise /dev/shm
               list STORE                     what a listing costs, start of the process not counted
        """);
    return 2;
}
