using System.CommandLine;
using System.CommandLine.Parsing;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast migrate</c>: brings the snapshots of an object to a device, or from one.</summary>
internal static class MigrateCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> address = new("NAME") { Description = "The object: NAME for all its snapshots, NAME@SNAPSHOT for one, live:NAME for its present state alone" };
        Option<string?> to = Options.Text("--to", "DEVICE", "Where to: a directory, https://HOST:PORT (a node), or s3://BUCKET/PREFIX");
        Option<string?> from = Options.Text("--from", "DEVICE", "The other way: fetches what this store lacks");
        Option<bool> reverse = Options.Flag("--reverse", "The newest first, so that the destination can take over at once");
        Option<bool> live = Options.Flag("--live", "Also its present state, which becomes a snapshot there and none here");
        Option<bool> plan = Options.Flag("--plan", "Only shows what would be sent, against which base, and why");
        Option<long?> limit = new("--limit") { Description = "At most this many bytes per second, such as 10MB or 500KiB", HelpName = "RATE", CustomParser = Rate };
        Option<int?> parallel = new("--parallel") { Description = "How many parts are sent at once, 1 to 4 (default: 4)", HelpName = "N" };
        Option<int?> retries = new("--retries") { Description = "How often in a row a broken connection is made anew when nothing got through (default: 5)", HelpName = "N" };
        DeviceOptions devices = new();
        DocumentedCommand command = new("migrate", "Brings the snapshots of an object to another device, each as a difference to what is there. What was interrupted goes on when it is run again.")
        {
            Examples =
            [
                ("holdfast migrate web --to /mnt/backup", "everything that the store in that directory lacks"),
                ("holdfast migrate web --to https://node2:7420 --reverse --live", "the present state first; 'holdfast node' serves the other side"),
                ("holdfast migrate web --to s3://backups/site1 --limit 10MB", "to a bucket, slowly"),
                ("holdfast migrate web --to /mnt/backup --plan", "what would be sent, and why"),
                ("holdfast migrate web --from s3://backups/site1", "back from the bucket"),
            ],
        };
        command.Arguments.Add(address);
        foreach (Option option in (Option[])[to, from, reverse, live, plan, limit, parallel, retries, .. devices.All])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(to) is null == result.GetValue(from) is null)
            {
                result.AddError("either --to or --from is needed");
            }
            else if (result.GetValue(from) is not null && (result.GetValue(live) || result.GetValue(address)?.StartsWith(DiffCommand.LivePrefix, StringComparison.Ordinal) == true))
            {
                result.AddError("a present state can only be sent, not fetched");
            }

            if (result.GetValue(parallel) is < 1 or > 4)
            {
                result.AddError("--parallel takes 1 to 4");
            }

            if (result.GetValue(retries) < 0)
            {
                result.AddError("--retries takes 0 or more");
            }
        });
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            MigrationOrder order = parsed.GetValue(reverse) ? MigrationOrder.Reverse : MigrationOrder.Forward;
            MigrationOptions options = new()
            {
                Order = order, BytesPerSecond = parsed.GetValue(limit), Parallel = parsed.GetValue(parallel) ?? 4, Retries = parsed.GetValue(retries) ?? 5,
            };
            bool sends = parsed.GetValue(to) is not null;
            string name = parsed.GetValue(to) ?? parsed.GetValue(from)!;
            AbsentStore absent = !sends ? AbsentStore.Refused : parsed.GetValue(plan) ? AbsentStore.Empty : AbsentStore.Made;
            await using Device device = Device.Open(name, devices.Read(parsed, session), session.StoreOptions(), absent);
            MigrationRun run = new(session, device, options, parsed.GetValue(plan));
            return await (sends
                ? run.SendAsync(parsed.GetRequiredValue(address), parsed.GetValue(live), cancellation)
                : run.FetchAsync(parsed.GetRequiredValue(address), cancellation)).ConfigureAwait(false);
        }));
        return command;
    }

    private static long? Rate(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (ByteSize.TryParseRate(text, out long rate))
        {
            return rate;
        }

        result.AddError($"--limit '{text}' is no rate: write 500KiB, 10MB or 1GiB (per second)");
        return null;
    }
}
