namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// A restore where much is different: another hostname, clocks that stand elsewhere as after another boot (namespaces of the restorer make it so), the application's
/// pids taken. What the application sees goes on.
/// </summary>
public sealed class OtherHostTests
{
    private static readonly string[] OtherHost =
    [
        "/usr/bin/unshare", "--time", "--monotonic", "5000000", "--boottime", "7000000", "--uts", "/bin/sh", "-c", "hostname elsewhere && exec \"$@\"", "sh",
    ];

    [Theory]
    [InlineData("monotonic_clock", "")]
    [InlineData("host_name", "")]
    [InlineData("sleeps", "nanosleep")]
    [InlineData("timerfd_timers", "")]
    [InlineData("pids_and_tids", "")]
    public void Name_clocks_and_pids_are_those_of_the_application(string program, string programCase)
    {
        using var application = TestApplication.StartProgram(program, programCase, 8);
        var snapshot = application.CheckpointAndStop().Text("snapshot");
        // Another application, which has the same pids in its own space, runs meanwhile.
        using var other = TestApplication.StartProgram("pids_and_tids", "");
        application.Work.Forget();
        application.HoldfastUnder(OtherHost, "restore", $"{application.Name}@{snapshot}", "--detach").Required();
        // And from there back again.
        application.CheckpointAndStop();
        application.Restore();
        application.RequirePass();
        other.RequirePass();
    }

    [Fact]
    public void What_is_started_elsewhere_goes_on_here()
    {
        using var application = TestApplication.NotStarted("elsewhere");
        application.HoldfastUnder(OtherHost, "run", "--detach", "--name", application.Name, "--", BuiltPrograms.StateProgram("monotonic_clock"), application.Work.Path).Required();
        Until.Required(() => application.Work.Has("ready"), () => $"it does not get ready: {application.Describe()}");
        application.CheckpointAndStop();
        application.Restore();
        application.RequirePass();
    }
}
