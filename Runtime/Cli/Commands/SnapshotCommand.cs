using System.CommandLine;
using System.Diagnostics;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast snapshot</c>: directories, files and block images; and their way back, <c>restore --to</c>.</summary>
internal static class SnapshotCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> path = new("PATH") { Description = "A directory, a file, a block device, or an image with --image" };
        Option<string> name = new("--name") { Description = "The object's name, under which all its snapshots are kept", HelpName = "NAME", Required = true };
        Option<bool> image = Options.Flag("--image", "PATH is the image of a disk: kept page by page, without owner and times");
        Option<bool> readAll = Options.Flag("--read-all", "Reads files too whose size, times and inode did not change");
        Option<string?> reflink = Options.Text("--reflink", "DIR", "For a file or an image on btrfs or xfs: keeps a clone of it in DIR, on the same file system, so that the next snapshot reads only what changed; without it, the clone is removed");
        Option<string[]> tags = new("--tag") { Description = "A tag of the snapshot; may be given several times", HelpName = "NAME=VALUE" };
        DocumentedCommand command = new("snapshot", "Takes a snapshot of a directory, a file or a block image. What did not change since the last one is not stored again.")
        {
            Examples =
            [
                ("holdfast snapshot /srv/data --name data", "a directory with permissions, owners, times, links and extended attributes"),
                ("holdfast snapshot disk.img --name vm --image --tag release=7", "a block image, with a tag"),
                ("holdfast snapshot disk.img --name vm --image --reflink .", "reads only what changed since the last one (btrfs, xfs)"),
                ("holdfast restore data@1st --to /srv/back", "puts the oldest back"),
            ],
        };
        command.Arguments.Add(path);
        foreach (Option option in (Option[])[name, image, readAll, reflink, tags])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            foreach (string tag in result.GetValue(tags) ?? [])
            {
                if (tag.IndexOf('=') <= 0 || tag.StartsWith($"{PathObject.PathTag}=", StringComparison.Ordinal))
                {
                    result.AddError($"--tag '{tag}' is not NAME=VALUE, with a NAME other than {PathObject.PathTag}");
                }
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(Take(
            session, parsed.GetRequiredValue(path), parsed.GetRequiredValue(name), parsed.GetValue(image), parsed.GetValue(readAll), parsed.GetValue(reflink), parsed.GetValue(tags) ?? []))));
        return command;
    }

    private static int Take(Session session, string path, string name, bool image, bool readAll, string? reflink, string[] tags)
    {
        ApplicationName.Checked(name);
        string full = Path.GetFullPath(path);
        if (!Path.Exists(full))
        {
            throw new HoldfastException("path.missing", $"there is no {path}");
        }

        if (Directory.Exists(full) && (session.Store.Root + "/").StartsWith(full.TrimEnd('/') + "/", StringComparison.Ordinal))
        {
            throw new HoldfastException("path.store", $"the store {session.Store.Root} is inside {path}: it would hold itself; name another with --store");
        }

        if (session.Store.Application(name).Exists || session.Store.ExistingSnapshots()?.List(name).Any(s => s.Kind == Store.ApplicationKind) == true)
        {
            throw new HoldfastException("object.kind", $"{name} is an application; choose another --name");
        }

        long began = Stopwatch.GetTimestamp();
        Dictionary<string, string> own = tags.Select(t => t.Split('=', 2)).GroupBy(t => t[0]).ToDictionary(g => g.Key, g => g.Last()[1]);
        long read = 0;
        SnapshotInfo taken = StorageObject.Capture(session.Store.Snapshots(), name, full, PathObject.Options(session, image, full, readAll, own, reflink, bytes => read += bytes));
        session.Output.Confirm(
            new PathSnapshotJson(
                taken.Object, taken.Id, taken.Parent, taken.Kind, full, taken.LogicalBytes, read, taken.NewBytes, taken.StoredBytes,
                Math.Round(Stopwatch.GetElapsedTime(began).TotalMilliseconds, 3)),
            StorageJson.Default.PathSnapshotJson,
            s => $"{s.Name}@{s.Snapshot}: {Output.Bytes(s.BytesLogical)}, of which {Output.Bytes(s.BytesNew)} new; {Output.Bytes(s.BytesStored)} stored in {Output.Milliseconds(s.TotalMs)}");
        return ExitStatus.Done;
    }

    /// <summary>Puts a snapshot of a path back.</summary>
    public static int Restore(Session session, string address, string to)
    {
        SnapshotInfo snapshot = session.Store.Snapshot(address);
        if (snapshot.Kind == Store.ApplicationKind)
        {
            throw new HoldfastException("snapshot.kind", $"{snapshot.Address} is an application's: it is restored to run, without --to");
        }

        long began = Stopwatch.GetTimestamp();
        using SnapshotReader reader = session.Store.ExistingSnapshots()!.OpenSnapshot(snapshot);
        StorageObject.Restore(reader, to);
        session.Output.Confirm(
            new PathRestoreJson(
                snapshot.Object, snapshot.Id, snapshot.Kind, Path.GetFullPath(to), snapshot.LogicalBytes, Math.Round(Stopwatch.GetElapsedTime(began).TotalMilliseconds, 3)),
            StorageJson.Default.PathRestoreJson,
            r => $"{r.Name}@{r.Snapshot} is in {to}: {Output.Bytes(r.BytesLogical)} in {Output.Milliseconds(r.TotalMs)}");
        return ExitStatus.Done;
    }
}
