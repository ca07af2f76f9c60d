namespace Holdfast.EndToEnd.Tests;

/// <summary>What cannot be captured is refused by name, and the application does not notice.</summary>
public sealed class RefusalTests
{
    public static TheoryData<string, string> Programs => StateProgram.Rows(program => program.Refused);

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_resource_that_cannot_be_captured_is_named_and_the_application_goes_on(string program, string programCase)
    {
        using var application = TestApplication.StartProgram(program, programCase);
        if (application.Skipped)
        {
            return;
        }

        var facts = File.ReadAllLines(application.Work.In("resource")).Select(line => line.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
        var before = application.Processes().Select(p => p.Pid).Order().ToArray();
        var stopped = Stopped(before);
        var foreseen = application.Check();
        var refusal = application.Holdfast("checkpoint", application.Name).RequiredToBeRefused();
        var text = refusal.Output + refusal.Error;
        // The process by the pid that the host or the application knows it by.
        var holder = application.Processes().Single(p => p.InnerPid.ToString(System.Globalization.CultureInfo.InvariantCulture) == facts["pid"]);
        Assert.Matches($@"\b({holder.Pid}|{holder.InnerPid})\b", text);
        if (facts["fd"] != "-1")
        {
            Assert.Matches($@"\b{facts["fd"]}\b", text);
        }

        Assert.Matches(KindPattern(facts["kind"]), text);
        Assert.Equal(codes[programCase.Length > 0 ? programCase : program], refusal.ErrorCode);
        // What, why, and what to do about it.
        Assert.Matches(": .{5,}; .{5,}", text);
        // What only a stopped process shows is said as a caveat before.
        if (programCase != "seccomp_kills")
        {
            Assert.Contains(refusal.ErrorCode, foreseen);
        }

        // The descriptor is one thing, memory that is registered with it another.
        Assert.Equal(programCase == "userfaultfd", foreseen.Contains("memory.userfaultfd"));
        Assert.Equal(before, application.Processes().Select(p => p.Pid).Order().ToArray());
        Assert.All(before.SelectMany(ProcessScan.Threads), thread => Assert.Equal(0, thread.TracerPid));
        Assert.Equal(stopped, Stopped(before));

        Assert.DoesNotContain(application.Holdfast("snapshots", application.Name).Objects, o => o.TryGetProperty("snapshot", out _));
        application.RequirePass();
    }

    [Fact]
    public void Signals_about_a_stream_of_whoever_started_it_are_refused_by_name_until_they_are_cleared()
    {
        using var application = TestApplication.NotStarted("signalled");
        string[] program =
        [
            "/usr/bin/python3", "-c",
            """
            import fcntl, os, sys, time
            fcntl.fcntl(1, fcntl.F_SETOWN, os.getpid())
            open(sys.argv[1] + "/ready", "w")
            while not os.path.exists(sys.argv[1] + "/clear"): time.sleep(0.01)
            fcntl.fcntl(1, fcntl.F_SETOWN, 0)
            open(sys.argv[1] + "/cleared", "w")
            while not os.path.exists(sys.argv[1] + "/go"): time.sleep(0.01)
            open(sys.argv[1] + "/result", "w").write("PASS")
            """,
            application.Work.Path,
        ];
        using var run = application.StartHoldfastUnder(["/bin/sh", "-c", "\"$@\" | cat", "sh"], "run", ["--name", application.Name, "--", .. program]);
        Until.Required(() => application.Work.Has("ready"), () => $"it does not get ready: {application.Describe()}");
        Assert.Contains("fd.async", application.Check());
        Assert.Equal("fd.async", application.Holdfast("checkpoint", application.Name).RequiredToBeRefused().ErrorCode);
        application.Work.Mark("clear");
        Until.Required(() => application.Work.Has("cleared"), () => $"it does not go on: {application.Describe()}");
        Assert.Empty(application.Check());
        application.Checkpoint();
        application.RequirePass();
    }

    private static readonly Dictionary<string, string> codes = new()
    {
        ["urgent"] = "socket.urgent", ["multicast"] = "socket.multicast", ["fanotify"] = "fd.fanotify", ["io_uring"] = "fd.io_uring", ["userfaultfd"] = "fd.userfaultfd", ["seccomp_kills"] = "process.seccomp",
        ["perf"] = "fd.perf_event", ["netlink_unread"] = "socket.unread", ["netlink_generic"] = "fd.socket", ["zombie_leader"] = "process.leader-ended", ["shared_descriptor_table"] = "process.shared",
    };

    private static int[] Stopped(int[] pids) => [.. pids.SelectMany(ProcessScan.Threads).Where(thread => thread.State is 't' or 'T').Select(thread => thread.Tid).Order()];

    /// <summary>How people call the kind; any of the words will do.</summary>
    private static string KindPattern(string kind) => "(?i)" + kind switch
    {
        "netlink_unread" or "netlink_generic" => "netlink",
        "perf" => "perf",
        "io_uring" => "io_?uring",
        "seccomp_kills" => "seccomp",
        _ => kind,
    };
}
