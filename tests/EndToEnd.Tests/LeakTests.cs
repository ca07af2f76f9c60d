using System.Globalization;
using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>Of nothing is there more after very many rounds of commands than after a few: neither on the host, nor in the application, nor in the store.</summary>
public sealed class LeakTests(ITestOutputHelper output)
{
    private const int Settled = 10;

    /// <summary>HOLDFAST_ROUNDS asks for another number; it is rounded up to whole tens, after which things stand where they stood after ten.</summary>
    private static int Rounds(int usual) =>
        (Math.Max(Settled, int.TryParse(Environment.GetEnvironmentVariable("HOLDFAST_ROUNDS"), out var asked) ? asked : LongMode.Count(usual, 1000)) + Settled - 1) / Settled * Settled;

    /// <summary>Each round ends the application and its supervisor, and has another: every second by the checkpoint, one of ten by the command, the others by SIGKILL to all but the init.</summary>
    [Fact]
    public void After_many_rounds_of_checkpoint_kill_and_restore_there_is_no_more_of_anything()
    {
        using var application = Busy();
        Compare(application, Rounds(100), round =>
        {
            if (round % 2 == 0)
            {
                application.CheckpointAndStop();
            }
            else
            {
                application.Checkpoint();
                if (round % Settled == 1)
                {
                    application.Kill();
                }
                else
                {
                    application.KillByForce();
                }
            }

            // Its volumes are none: what it has written since is written again.
            application.Restore(filesAsIs: true);
        });
    }

    /// <summary>What a supervisor that lives on would gather.</summary>
    [Fact]
    public void After_many_checkpoints_by_one_supervisor_there_is_no_more_of_anything()
    {
        using var application = Busy();
        Compare(application, Rounds(100), _ => application.Checkpoint());
    }

    // Groups and temporary files are found by the name.
    private static TestApplication Busy() => TestApplication.StartCommand($"busy-{Guid.NewGuid().ToString("N")[..8]}", [BuiltPrograms.Application("busy.py")!, "WORK"]);

    private void Compare(TestApplication application, int rounds, Action<int> round)
    {
        Counts? first = null;
        Counts? after = null;
        for (var done = 1; done <= rounds; done++)
        {
            round(done);
            AwaitBeat(application);
            if (done % Settled != 0)
            {
                continue;
            }

            // All but the newest, on which the next one is based.
            application.Holdfast("forget", [.. application.Holdfast("snapshots", application.Name).Required().Objects.Select(row => row.GetProperty("snapshot").GetString()!).SkipLast(1).Select(snapshot => $"{application.Name}@{snapshot}")]).Required();
            if (done == Settled || done == rounds)
            {
                after = Counts.Now(application);
                first ??= after;
                // What is open for a moment, which is long on a busy machine, goes; what was left behind does not, and fails below.
                Until.Holds(() => after.Exact == first.Exact || (after = Counts.Now(application)).Exact == first.Exact, TimeSpan.FromSeconds(5));
                output.WriteLine($"after {done} rounds: {after}");
            }
        }

        Assert.Equal(first!.Exact, after!.Exact);
        // Pages, segments of the store and what one supervisor keeps for later differ from one moment to the other: what stays behind would be many times this.
        Assert.True(after.SupervisorMemory < first.SupervisorMemory + (20 << 20), $"supervisor: {first.SupervisorMemory >> 10} KiB, then {after.SupervisorMemory >> 10}");
        Assert.True(after.ApplicationMemory < first.ApplicationMemory + (4 << 20), $"application: {first.ApplicationMemory >> 10} KiB, then {after.ApplicationMemory >> 10}");
        // gc rewrites a pack when enough of it is dead, so that there may be about as much that is dead as that is not; a round that stays behind is a mebibyte and a pack.
        Assert.True(after.StoreBytes < (2 * first.StoreBytes) + (8 << 20), $"store: {first.StoreBytes >> 10} KiB, then {after.StoreBytes >> 10}");
        Assert.True(after.StoreFiles < (2 * first.StoreFiles) + 8, $"store: {first.StoreFiles} files, then {after.StoreFiles}");
        application.RequirePass();
    }

    /// <summary>It goes on.</summary>
    private static void AwaitBeat(TestApplication application)
    {
        var beat = application.Work.In("beat");
        long Length() => File.Exists(beat) ? new FileInfo(beat).Length : 0;
        var before = Length();
        Until.Required(() => Length() > before + 4, () => $"it does not go on: {application.Describe()}");
    }

    /// <summary>What there is of each kind, of what belongs to this application: others run beside it.</summary>
    private sealed record Counts(string Exact, int Passing, long SupervisorMemory, long ApplicationMemory, long StoreBytes, int StoreFiles)
    {
        private static readonly string[] kinds = ["pid", "mnt", "uts", "ipc", "net", "user", "cgroup", "time"];

        public static Counts Now(TestApplication application)
        {
            application.Holdfast("gc").Required();
            Counts? counts = null;
            // A child that is born and ends, a connection that is being closed: what is on its way is no leak.
            Until.Required(
                () =>
                {
                    var before = counts;
                    counts = Taken(application);
                    return counts.Exact == before?.Exact && counts.Passing == 0;
                },
                () => $"counts do not stand still: {counts}");
            return counts!;
        }

        private static Counts Taken(TestApplication application)
        {
            var all = ProcessScan.Marked(application.Work.Path);
            int[] own = [.. all.Where(process => process.IsApplication).Select(process => process.Pid)];
            int[] supervisors = [.. all.Where(process => process.IsHoldfast).Select(process => process.Pid)];
            // Inits have no mark; they are the parents of who has one.
            int[] inits = [.. all.Select(process => process.Parent).Distinct().Where(pid => Text($"/proc/{pid}/status").Split('\n').Any(line => line.StartsWith("NSpid:", StringComparison.Ordinal) && line.EndsWith("\t1", StringComparison.Ordinal) && line.Count(c => c == '\t') > 1))];
            string[] files = Directory.Exists(application.Work.Store) ? Directory.GetFiles(application.Work.Store, "*", SearchOption.AllDirectories) : [];
            (int Others, int Passing)[] open = [.. supervisors.Select(pid => Open(pid, Path.Combine(application.Work.Store, "packs")))];
            var exact = string.Create(
                CultureInfo.InvariantCulture,
                $"processes {own.Length} inits {inits.Length} supervisors {supervisors.Length}, threads {own.Sum(Entries("task"))} + {inits.Sum(Entries("task"))}, "
                + $"descriptors {own.Sum(Entries("fd"))} + {inits.Sum(Entries("fd"))} + {open.Sum(each => each.Others)}, mounts {own.Sum(Mounts)} + {inits.Sum(Mounts)}, "
                + $"namespaces {own.Concat(inits).SelectMany(pid => kinds.Select(kind => new FileInfo($"/proc/{pid}/ns/{kind}").LinkTarget)).Distinct().Count()}, "
                + $"groups {Groups(application)}, files {Directory.GetFileSystemEntries(application.Work.Path).Length} + {Temporary(application)}");
            return new Counts(exact, open.Sum(each => each.Passing), supervisors.Sum(Memory), own.Sum(Memory), files.Sum(file => new FileInfo(file) is { Exists: true } info ? info.Length : 0), files.Length);
        }

        private static Func<int, int> Entries(string folder) => pid => Count($"/proc/{pid}/{folder}");

        private static int Count(string folder)
        {
            try
            {
                return Directory.GetFileSystemEntries(folder).Length;
            }
            catch (IOException)
            {
                return 0;
            }
        }

        /// <summary>
        /// What a process has open, once no pack of the store is open that is open twice or was removed: such a one is let go of after a moment. Of the others it has those that its last
        /// snapshot is in. Not its own program either: the .NET runtime opens each library, twice, when it is first needed, which may be late.
        /// </summary>
        /// <returns>How many that are but for packs, and how many packs are still to be let go of.</returns>
        private static (int Others, int Passing) Open(int pid, string packs)
        {
            try
            {
                string[] open = [.. Directory.GetFileSystemEntries($"/proc/{pid}/fd").Select(entry => new FileInfo(entry).LinkTarget ?? "").Where(target => !target.EndsWith(".dll", StringComparison.Ordinal))];
                string[] ofStore = [.. open.Where(target => target.StartsWith(packs, StringComparison.Ordinal))];
                return (open.Length - ofStore.Length, ofStore.Length - ofStore.Where(File.Exists).Distinct().Count());
            }
            catch (IOException)
            {
                return (0, 0);
            }
        }

        private static int Mounts(int pid) => Text($"/proc/{pid}/mountinfo").Count(c => c == '\n');

        private static long Memory(int pid) =>
            Text($"/proc/{pid}/status").Split('\n').Where(line => line.StartsWith("RssAnon:", StringComparison.Ordinal))
                .Sum(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Split('\t')[^1], CultureInfo.InvariantCulture) << 10);

        /// <summary>Control groups with this application's name, which this test alone has.</summary>
        private static int Groups(TestApplication application) =>
            Text("/proc/self/mountinfo").Split('\n').Select(line => line.Split(' ')).Where(words => words.Length > 8 && words[^3].StartsWith("cgroup", StringComparison.Ordinal))
                .Select(words => Path.Combine(words[4], "holdfast")).Distinct().Where(Directory.Exists)
                .Sum(folder => Directory.GetDirectories(folder, $"*{application.Name}*", SearchOption.AllDirectories).Length);

        /// <summary>What lies where temporary files do and speaks of Holdfast or this test, but for the tests' own directories.</summary>
        private static int Temporary(TestApplication application) =>
            ((string[])["/tmp", "/dev/shm", "/run", "/var/tmp"]).Where(Directory.Exists).SelectMany(Directory.GetFileSystemEntries)
                .Count(entry => Path.GetFileName(entry).Contains(application.Name, StringComparison.Ordinal) && !entry.StartsWith(application.Work.Top, StringComparison.Ordinal));

        private static string Text(string file)
        {
            try
            {
                return File.ReadAllText(file);
            }
            catch (IOException)
            {
                return "";
            }
        }
    }
}
