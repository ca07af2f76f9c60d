namespace Holdfast.EndToEnd.Tests;

/// <summary>Processes that Holdfast did not start: dumped by pid into a directory, restored with the host's pids.</summary>
public sealed class DumpTests
{
    /// <summary>What a tree shares with the host, so that only an application in a space has it to itself.</summary>
    private static readonly string[] OfTheHost = ["fd.owner", "process.outside"];

    private static readonly string[] NotOfATree =
        ["interval_timers", "timerfd_timers", "sleeps", "pids_and_tids", "system_v_memory", "system_v_queues", "system_v_semaphores", "posix_queues"];

    /// <summary>They make processes all the time.</summary>
    private static readonly string[] Forking = ["memory_churn", "fork_family"];

    /// <summary>
    /// Each program and case, by default a sixteenth in turn. But not those whose subject is what a tree does not keep: the host's clocks run on between dump and restore, and
    /// the parent of its root is whoever restored it. Nor those whose objects would outlive them in the host's IPC namespace (refused: <c>ipc.host</c>, <c>fd.mqueue</c>, <c>memory.sysv</c>).
    /// </summary>
    public static TheoryData<string, string> Programs
    {
        get
        {
            TheoryData<string, string> programs = [];
            foreach (var row in StateProgramScenarios.Some(16).Where(row => !NotOfATree.Contains((string)row[0])))
            {
                programs.Add((string)row[0], (string)row[1]);
            }

            return programs;
        }
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_process_tree_is_dumped_by_pid_and_restored_with_the_same_pids(string program, string programCase)
    {
        var (application, pid) = TestApplication.StartAlone(program, programCase);
        using (application)
        {
            if (application.Skipped)
            {
                return;
            }

            var foretold = application.Check(Text(pid));
            var image = Image(application);
            var before = application.Processes().Select(p => p.Pid).Order().ToArray();
            var dump = application.Holdfast("dump", Text(pid), "--to", image);
            Assert.True(dump.Succeeded == (foretold.Count == 0), $"check foretells \"{string.Join(' ', foretold)}\": {dump}");
            if (!dump.Succeeded)
            {
                // What belongs to the host, and so not to the tree alone.
                dump.RequiredToBeRefused();
                Assert.Contains(dump.ErrorCode!, foretold);
                Assert.Contains(dump.ErrorCode!, OfTheHost);
                application.RequirePass();
                return;
            }

            RequireDumped(application);
            application.Holdfast("restore", "--from", image, "--detach").Required();
            if (!Forking.Contains(program))
            {
                Assert.Equal(before, application.Processes().Select(p => p.Pid).Order().ToArray());
            }

            application.RequirePass();
        }
    }

    [Fact]
    public void A_tree_that_is_left_running_goes_on_and_its_pids_are_named_as_taken()
    {
        var (application, pid) = TestApplication.StartAlone("tree_three_levels", "");
        using (application)
        {
            var image = Image(application);
            application.Holdfast("dump", Text(pid), "--to", image, "--leave-running").Required();
            application.Work.Remember();
            var pids = application.Processes().Select(p => p.Pid).ToArray();
            Assert.Equal(9, pids.Length);
            var refusal = application.Holdfast("restore", "--from", image, "--detach").RequiredToBeRefused();
            Assert.Equal("pid.taken", refusal.ErrorCode);
            Assert.Contains(pids, taken => (refusal.Output + refusal.Error).Contains(Text(taken), StringComparison.Ordinal));
            Assert.Equal(pids.Order(), application.Processes().Select(p => p.Pid).Order());
            application.RequirePass();
            application.Work.Forget();

            // Who would hold what is not loaded yet, there is only in a space.
            Assert.Equal("lazy.space", application.Holdfast("restore", "--from", image, "--detach", "--lazy").RequiredToBeRefused().ErrorCode);
            Assert.Empty(application.Processes());
            application.Holdfast("restore", "--from", image, "--detach").Required();
            application.RequirePass();
        }
    }

    [Fact]
    public void Who_belongs_to_a_session_of_the_tree_and_not_to_the_tree_is_named()
    {
        var (application, pid) = TestApplication.StartAlone("orphans", "");
        using (application)
        {
            var orphan = application.Processes().First(p => p.Pid != pid && p.Parent != pid).Pid;
            var refusal = application.Holdfast("dump", Text(pid), "--to", Image(application)).RequiredToBeRefused();
            Assert.Equal("process.outside", refusal.ErrorCode);
            Assert.Contains(Text(orphan), refusal.Text("message"), StringComparison.Ordinal);
            Assert.Contains("start the application with 'run'", refusal.Text("message"), StringComparison.Ordinal);
            application.RequirePass();
        }
    }

    [Fact]
    public void A_terminal_whose_number_is_taken_is_named_and_comes_back_when_it_is_free()
    {
        var (application, pid) = TestApplication.StartAlone("pseudo_terminals", "");
        using (application)
        {
            var image = Image(application);
            application.Holdfast("dump", Text(pid), "--to", image).Required();
            RequireDumped(application);
            List<FileStream> masters = [];
            try
            {
                // The kernel gives the lowest number that is free.
                for (var i = 0; i < 8; i++)
                {
                    masters.Add(new FileStream("/dev/ptmx", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 0));
                }

                var refusal = application.Holdfast("restore", "--from", image, "--detach").RequiredToBeRefused();
                Assert.Equal("pty.taken", refusal.ErrorCode);
                Assert.Contains("/dev/pts/", refusal.Text("message"), StringComparison.Ordinal);
                Assert.Contains("close that terminal", refusal.Text("message"), StringComparison.Ordinal);
                Assert.Empty(application.Processes());
            }
            finally
            {
                masters.ForEach(master => master.Dispose());
            }

            application.Holdfast("restore", "--from", image, "--detach").Required();
            application.RequirePass();
        }
    }

    private static string Image(TestApplication application) => Path.Combine(application.Work.Top, "image");

    private static void RequireDumped(TestApplication application)
    {
        application.Work.Remember();
        Until.Required(() => application.Processes().Count == 0, () => $"dump without --leave-running left {application.Describe()}");
    }

    private static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
