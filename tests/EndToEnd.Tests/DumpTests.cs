namespace Holdfast.EndToEnd.Tests;

/// <summary>Processes that Holdfast did not start: dumped by pid into a directory, restored with the host's pids.</summary>
public sealed class DumpTests
{
    [Theory]
    [InlineData("tree_three_levels", "")]
    [InlineData("threads", "8")]
    [InlineData("pipe_stream", "")]
    [InlineData("private_memory", "")]
    [InlineData("shared_memory", "")]
    [InlineData("signal_actions", "")]
    [InlineData("deleted_open_file", "")]
    [InlineData("zombies", "")]
    public void A_process_tree_is_dumped_by_pid_and_restored_with_the_same_pids(string program, string programCase)
    {
        var (application, pid) = TestApplication.StartAlone(program, programCase);
        using (application)
        {
            var image = Path.Combine(application.Work.Top, "image");
            var before = application.Processes().Select(p => p.Pid).Order().ToArray();
            application.Holdfast("dump", Text(pid), "--to", image).Required();
            application.Work.Remember();
            Until.Required(() => application.Processes().Count == 0, () => $"dump without --leave-running left {application.Describe()}");
            application.Holdfast("restore", "--from", image, "--detach").Required();
            Assert.Equal(before, application.Processes().Select(p => p.Pid).Order().ToArray());
            application.RequirePass();
        }
    }

    [Fact]
    public void A_tree_that_is_left_running_goes_on_and_its_pids_are_named_as_taken()
    {
        var (application, pid) = TestApplication.StartAlone("tree_three_levels", "");
        using (application)
        {
            var image = Path.Combine(application.Work.Top, "image");
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

    private static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
