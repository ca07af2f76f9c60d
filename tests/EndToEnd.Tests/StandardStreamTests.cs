namespace Holdfast.EndToEnd.Tests;

/// <summary>Standard streams are the application's own: a file stays that file, a pipe of its own shell stays that pipe.</summary>
public sealed class StandardStreamTests
{
    [Fact]
    public void Output_that_goes_to_a_file_goes_on_in_that_file_and_buffered_lines_are_kept()
    {
        var program = BuiltPrograms.StateProgram("standard_streams");
        using var application = TestApplication.StartCommand(
            "streams-file", ["/bin/sh", "-c", $"exec {program} WORK >WORK/output 2>&1 </dev/null"]);
        application.CheckpointAndStop();
        application.Restore();
        application.RequirePass();
        Assert.Equal("one\ntwo\nthree\n", File.ReadAllText(application.Work.In("output")));
    }

    [Fact]
    public void Output_that_goes_through_a_pipe_of_the_application_is_neither_lost_nor_doubled()
    {
        var program = BuiltPrograms.StateProgram("standard_streams");
        using var application = TestApplication.StartCommand(
            "streams-pipe", ["/bin/sh", "-c", $"{program} WORK </dev/null | cat >WORK/output"]);
        application.CheckpointAndStop();
        application.Restore();
        application.RequirePass();
        Assert.Equal("one\ntwo\nthree\n", File.ReadAllText(application.Work.In("output")));
    }
}
