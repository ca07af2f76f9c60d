namespace Holdfast.EndToEnd.Tests;

/// <summary>Applications that make a checkpoint hard: a good snapshot, or a clear refusal in time; never harm.</summary>
public sealed class UnrulyApplicationTests
{
    [Fact]
    public void An_application_that_forks_without_end_is_captured_whole_or_refused()
    {
        using var application = TestApplication.StartProgram("fork_storm", "");
        var taken = 0;
        for (var round = 0; round < LongMode.Count(5, 50); round++)
        {
            var result = application.Holdfast("checkpoint", application.Name);
            if (result.Succeeded)
            {
                application.Work.Remember();
                taken++;
            }
            else
            {
                result.RequiredToBeRefused();
            }
        }

        if (taken > 0)
        {
            application.KillByForce();
            application.Restore();
        }

        application.RequirePass();
    }

    [Theory]
    [InlineData("exits_at_random")]
    [InlineData("process_life")]
    [InlineData("thread_life")]
    public void Processes_and_threads_that_end_during_the_freeze_end_once(string program)
    {
        using var application = TestApplication.StartProgram(program, "");
        for (var round = 0; round < LongMode.Count(10, 100); round++)
        {
            application.Checkpoint();
        }

        application.KillByForce();
        application.Restore();
        application.Checkpoint();
        application.RequirePass();
    }

    [Fact]
    public void A_parent_in_a_vfork_that_lasts_is_refused_at_the_deadline_and_goes_on()
    {
        using var application = TestApplication.StartProgram("vfork_parent", "long");
        var refusal = application.Holdfast("checkpoint", application.Name, "--timeout", "3s").RequiredToBeRefused();
        Assert.Matches("(?i)vfork|uninterruptible|timeout|timed out|deadline|stand", refusal.Output + refusal.Error);
        Assert.All(application.Processes().SelectMany(p => ProcessScan.Threads(p.Pid)), thread =>
        {
            Assert.Equal(0, thread.TracerPid);
            Assert.DoesNotContain(thread.State, "tT");
        });
        application.RequirePass();
    }

    [Fact]
    public void A_parent_in_brief_vforks_is_captured_between_them()
    {
        using var application = TestApplication.StartProgram("vfork_parent", "brief");
        application.Checkpoint();
        application.KillByForce();
        application.Restore();
        application.RequirePass();
    }

    [Fact]
    public void A_reader_sees_the_end_of_file_right_after_a_checkpoint_that_left_the_writer_running()
    {
        using var application = TestApplication.StartProgram("pipe_end_of_file", "");
        application.Checkpoint();
        application.RequirePass();
    }
}
