namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// The state programs as an ordinary user's: each goes on after its restore, or is refused for want of rights before anything was done to it, and 'check' says so beforehand.
/// By default one of twenty, in turn.
/// </summary>
public sealed class WithoutRootProgramTests
{
    private const int Part = 20;

    public static TheoryData<string, string> Programs => StateProgramScenarios.Some(Part);

    [OrdinaryUserTheory]
    [MemberData(nameof(Programs))]
    public void A_program_of_an_ordinary_user_goes_on_where_it_was_or_is_refused_by_name(string program, string programCase)
    {
        using var application = TestApplication.StartProgram(program, programCase, 4, new OrdinaryUser(OrdinaryUser.UsualId));
        if (application.Skipped)
        {
            return;
        }

        var foretold = application.Check();
        var stops = StateProgram.Named(program).WritesFiles && foretold.Count == 0;
        var checkpoint = application.Holdfast("checkpoint", stops ? [application.Name, "--stop"] : [application.Name]);
        Assert.True(checkpoint.Succeeded == (foretold.Count == 0), $"check foretells \"{string.Join(' ', foretold)}\": {checkpoint}");
        if (!checkpoint.Succeeded)
        {
            checkpoint.RequiredToBeRefused();
            Assert.Contains(checkpoint.ErrorCode!, foretold);
            Assert.True(IsForWantOfRights(checkpoint.ErrorCode!), checkpoint.ToString());
            Assert.Contains("root", checkpoint.Output + checkpoint.Error, StringComparison.Ordinal);
            application.RequirePass();
            return;
        }

        application.Work.Remember();
        application.KillByForce();
        application.Restore();
        application.RequirePass();
    }

    /// <summary>Refusals that root does not get.</summary>
    private static bool IsForWantOfRights(string code) => code.StartsWith("rights.", StringComparison.Ordinal) || code == "memory.unnamed";
}

/// <summary>An ordinary user's applications, in a user namespace of their own.</summary>
public sealed class WithoutRootTests
{
    private static readonly OrdinaryUser User = new(OrdinaryUser.UsualId);

    [OrdinaryUserFact]
    public void A_lazy_restore_is_refused_by_name_and_nothing_is_touched()
    {
        using var application = TestApplication.StartProgram("tree_three_levels", "", 4, User);
        application.Checkpoint();
        application.KillByForce();
        application.Work.Forget();

        var refused = application.Holdfast("restore", application.Name, "--detach", "--lazy").RequiredToBeRefused();

        Assert.Equal("lazy.rights", refused.ErrorCode);
        Assert.Contains("without --lazy", refused.Output + refused.Error, StringComparison.Ordinal);
        application.Restore();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void Rounds_of_loss_and_restore_and_the_loss_of_supervisors_do_no_harm()
    {
        using var application = TestApplication.StartProgram("tree_three_levels", "", 4, User);
        for (var round = 0; round < LongMode.Count(1, 10); round++)
        {
            application.Checkpoint();
            application.KillByForce();
            application.Restore();

            // A command supervises it for its own duration, in the application's namespace.
            LoseSupervisor(application);
            application.Checkpoint();
            Assert.Equal(0, application.Holdfast("check", application.Name).ExitCode);
            application.Kill();
            application.Restore();
        }

        LoseSupervisor(application);
        application.Holdfast("run", "--adopt", application.Name, "--detach").Required();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void A_supervisor_that_is_killed_in_the_middle_of_a_checkpoint_leaves_the_application_running()
    {
        using var application = TestApplication.StartProgram("tree_three_levels", "", 4, User);
        Random random = new(LongMode.Seed);
        for (var round = 0; round < LongMode.Count(3, 100); round++)
        {
            using var checkpoint = application.StartHoldfast("checkpoint", application.Name);
            // Any moment will do: no assertion hangs on which it is.
            Thread.Sleep(random.Next(300));
            foreach (var supervisor in application.Supervisors())
            {
                ProcessScan.Kill(supervisor.Pid);
            }

            checkpoint.Finish(TimeSpan.FromSeconds(60));
        }

        Until.Required(() => application.Supervisors().Count == 0, () => "supervisors live on");
        Assert.All(application.Processes().SelectMany(p => ProcessScan.Threads(p.Pid)), thread => Assert.Equal(0, thread.TracerPid));
        application.Checkpoint();
        application.Kill();
        application.Restore();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void The_application_is_its_user_without_capabilities_and_does_not_see_where_it_is_from()
    {
        using var application = TestApplication.NotStarted("who", User);
        var said = application.Holdfast(
            "run", "--name", "who", "--", "sh", "-c", "id -u; id -g; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status; cat /proc/self/uid_map; env | grep HOLDFAST_NAMESPACE; exit 7");
        Assert.Equal(7, said.ExitCode);
        var words = said.Output.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        const string none = "0000000000000000";
        var id = $"{User.Id}";
        Assert.Equal([id, id, "CapInh:", none, "CapPrm:", none, "CapEff:", none, "CapAmb:", none, id, id, "1"], words);
    }

    [OrdinaryUserFact]
    public void Each_user_has_a_store_of_his_own_in_his_home()
    {
        OrdinaryUser other = new(OrdinaryUser.UsualId + 1);
        using var one = TestApplication.NotStarted("own", User);
        using var two = TestApplication.NotStarted("own", other);
        foreach (var application in (TestApplication[])[one, two])
        {
            InHome(application, "run", "--name", "own", "--detach", "--", "sleep", "600").Required();
            InHome(application, "checkpoint", "own").Required();
        }

        var store = one.Work.In(".local/share/holdfast");
        Assert.True(Directory.Exists(Path.Combine(store, "apps", "own")));
        InHome(two, "kill", "own").Required();
        Assert.Contains("\"state\":\"running\"", InHome(one, "list").Required().Output, StringComparison.Ordinal);
        Assert.DoesNotContain("\"state\":\"running\"", InHome(two, "list").Required().Output, StringComparison.Ordinal);
        foreach (var command in (string[])["kill", "checkpoint"])
        {
            two.Command([Repository.HoldfastCommand, command, "own", "--store", store, "-o", "json"]).RequiredToBeRefused();
        }

        Assert.Contains("\"state\":\"running\"", InHome(one, "list").Required().Output, StringComparison.Ordinal);
        InHome(one, "kill", "own").Required();
    }

    [OrdinaryUserFact]
    public void What_only_root_may_do_is_refused_by_name()
    {
        using var application = TestApplication.StartProgram("private_memory", "", 4, User);
        application.Checkpoint();

        // A process tree that Holdfast did not start.
        foreach (var arguments in (string[][])[["dump", $"{Environment.ProcessId}", "--to", application.Work.In("dump")], ["check", $"{Environment.ProcessId}"]])
        {
            RequireRefusal(application.Holdfast(arguments[0], arguments[1..]), "rights.missing", 4);
        }

        Assert.False(Directory.Exists(application.Work.In("dump")));

        // His processes under other groups; and with a niceness or a limit that he may not give.
        application.Kill();
        foreach (var (code, prefix) in ((string, string[])[])[
            ("rights.credentials", [.. new OrdinaryUser(User.Id, User.Id + 5).Prefix]),
            ("rights.priority", ["/usr/bin/nice", "-n", "19", .. User.Prefix]),
            ("rights.limit", ["/usr/bin/prlimit", "--nofile=700:700", .. User.Prefix]),
        ])
        {
            RequireRefusal(application.As(prefix, [Repository.HoldfastCommand, .. application.Arguments("restore", [application.Name, "--rehearse"])]), code, 4);
        }

        application.Restore();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void Root_restores_what_ran_without_root_and_does_not_reach_it_while_it_runs()
    {
        using var application = TestApplication.StartProgram("tree_three_levels", "", 4, User);
        application.Checkpoint();
        RequireRefusal(application.As([], [Repository.HoldfastCommand, .. application.Arguments("checkpoint", [application.Name])]), "rights.missing", 4);
        application.KillByForce();
        application.Work.Forget();
        application.As([], [Repository.HoldfastCommand, .. application.Arguments("restore", [application.Name, "--detach"])]).Required();
        Assert.All(application.Processes(), p => Assert.Contains($"Uid:\t{User.Id}\t", File.ReadAllText($"/proc/{p.Pid}/status"), StringComparison.Ordinal));
        application.As([], [Repository.HoldfastCommand, .. application.Arguments("checkpoint", [application.Name])]).Required();
        application.RequirePass();
    }

    [OrdinaryUserFact]
    public void A_connection_is_refused_in_the_network_of_the_host_and_restored_in_one_of_its_own()
    {
        foreach (var isolate in (string[])["pid,mount,uts,ipc,time,shm", "pid,mount,uts,ipc,time,shm,net"])
        {
            using var application = TestApplication.StartProgram("tcp_sockets", "", 4, User, ["--isolate", isolate]);
            var checkpoint = application.Holdfast("checkpoint", application.Name);
            if (isolate.EndsWith("net", StringComparison.Ordinal))
            {
                checkpoint.Required();
                application.Work.Remember();
                application.KillByForce();
                application.Restore();
            }
            else
            {
                RequireRefusal(checkpoint, "rights.tcp", 4);
            }

            application.RequirePass();
        }
    }

    [OrdinaryUserFact]
    public void A_file_that_its_user_may_not_open_any_more_is_named()
    {
        using var application = TestApplication.NotStarted("reader", User);
        var file = application.Work.In("secret");
        File.WriteAllText(file, "one\ntwo\n");
        application.Holdfast("run", "--name", "reader", "--detach", "--", "sh", "-c", $"exec 5<'{file}'; read line <&5; touch '{application.Work.In("ready")}'; exec sleep 600").Required();
        Until.Required(() => application.Work.Has("ready"), () => "it did not get ready");
        application.Checkpoint();
        application.Kill();
        File.SetUnixFileMode(file, UnixFileMode.UserRead);
        var refusal = application.Holdfast("restore", "reader", "--detach").RequiredToBeRefused();
        Assert.Contains(file, refusal.Error, StringComparison.Ordinal);
        Assert.Empty(application.Processes());
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        application.Holdfast("restore", "reader", "--detach").Required();
        application.Kill();
    }

    [OrdinaryUserFact]
    public void His_volumes_are_put_back_and_files_of_others_in_them_are_refused()
    {
        using var application = TestApplication.NotStarted("volume", User);
        var volume = Directory.CreateDirectory(application.Work.In("data")).FullName;
        User.Own(volume);
        application.Holdfast("run", "--name", "volume", "--volume", volume, "--detach", "--", "sh", "-c", $"cd '{volume}'; echo one >file; ln -s file link; touch '{application.Work.In("ready")}'; exec sleep 600").Required();
        Until.Required(() => application.Work.Has("ready"), () => "it did not get ready");
        var foreign = Path.Combine(volume, "foreign");
        File.WriteAllText(foreign, "root's");
        var refusal = application.Holdfast("checkpoint", "volume");
        RequireRefusal(refusal, "volume.owner", 1);
        Assert.Contains(foreign, refusal.Error, StringComparison.Ordinal);
        Assert.NotEmpty(application.Processes());

        User.Own(foreign);
        application.Holdfast("checkpoint", "volume").Required();
        application.Kill();
        File.WriteAllText(Path.Combine(volume, "file"), "two\n");
        File.Delete(foreign);
        application.Holdfast("restore", "volume", "--detach").Required();
        Assert.Equal("one\n", File.ReadAllText(Path.Combine(volume, "file")));
        Assert.True(File.Exists(foreign));
        application.Kill();
    }

    [OrdinaryUserFact]
    public void A_process_whose_descriptors_may_not_be_seen_is_refused()
    {
        using var application = TestApplication.NotStarted("hidden", User);
        application.Holdfast("run", "--name", "hidden", "--detach", "--", "python3", "-c", $"import ctypes, time; ctypes.CDLL(None).prctl(4, 0); open('{application.Work.In("ready")}', 'w'); time.sleep(600)").Required();
        Until.Required(() => application.Work.Has("ready"), () => "it did not get ready");
        RequireRefusal(application.Holdfast("checkpoint", "hidden"), "rights.missing", 4);
        Assert.Equal(1, application.Holdfast("check", "hidden").ExitCode);
        application.Kill();
    }

    [OrdinaryUserFact]
    public void Check_says_what_an_ordinary_user_goes_without()
    {
        using var application = TestApplication.NotStarted("none", User);
        var check = application.Holdfast("check").Required();
        foreach (var subject in (string[])["rights", "other users", "TCP connections", "mapped files without a name"])
        {
            Assert.Equal("caveat", check.Objects.Single(row => row.GetProperty("subject").GetString() == subject).GetProperty("verdict").GetString());
        }
    }

    /// <summary>Nothing is begun where it could not be finished; a user without namespaces, and a container that hides parts of /proc.</summary>
    [OrdinaryUserFact]
    public void Where_no_user_namespace_can_be_had_it_is_refused_with_what_to_change()
    {
        using var application = TestApplication.NotStarted("none", User);
        foreach (var (wrapper, remedy) in ((string[], string)[])[
            (["/usr/bin/unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \"$@\"", "sh"], "user.max_user_namespaces"),
            (["/usr/bin/unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc/sys/fs && exec \"$@\"", "sh", .. User.Prefix], "unmask"),
        ])
        {
            var check = application.As(wrapper, [Repository.HoldfastCommand, .. application.Arguments("check", [])]);
            Assert.Equal(1, check.ExitCode);
            var rights = check.Objects.Single(row => row.GetProperty("subject").GetString() == "rights");
            Assert.Equal("rights.missing", rights.GetProperty("code").GetString());
            Assert.Contains(remedy, rights.GetProperty("remedy").GetString(), StringComparison.Ordinal);
            RequireRefusal(application.As(wrapper, [Repository.HoldfastCommand, .. application.Arguments("run", ["--detach", "--", "sleep", "600"])]), "rights.missing", 4);
            Assert.False(Directory.Exists(application.Work.Store));
        }
    }

    /// <summary>A group of the user's own, as a session of systemd gives him with Delegate=yes: then applications are frozen at once, as root's are.</summary>
    [OrdinaryUserFact]
    public void A_control_group_that_is_given_to_the_user_is_used()
    {
        var mount = File.ReadLines("/proc/self/mountinfo").Select(line => line.Split(' ')).FirstOrDefault(fields => fields[Array.IndexOf(fields, "-") + 1] == "cgroup2")?[4];
        if (mount is null)
        {
            return;
        }

        using var application = TestApplication.NotStarted("grouped", User);
        var group = Directory.CreateDirectory(Path.Combine(mount, Path.GetFileName(application.Work.Top))).FullName;
        try
        {
            User.Own(group);
            User.Own(Path.Combine(group, "cgroup.procs"));
            string[] inside = ["/bin/sh", "-c", $"echo $$ >{group}/cgroup.procs && exec \"$@\"", "sh", .. User.Prefix];
            CommandResult Holdfast(string command, params string[] words) => application.As(inside, [Repository.HoldfastCommand, .. application.Arguments(command, words)]).Required();
            Assert.Contains(Holdfast("check").Objects, row => row.GetProperty("subject").GetString() == "cgroup v2 freezer" && row.GetProperty("what").GetString() == group);
            Holdfast("run", "--name", "grouped", "--detach", "--", "sleep", "600");
            Assert.NotEmpty(Directory.GetDirectories(Path.Combine(group, "holdfast")));
            Holdfast("checkpoint", "grouped");
            application.Kill();
            Holdfast("restore", "grouped", "--detach");
            application.Kill();
            Until.Required(() => Directory.GetDirectories(group).Length == 0, () => $"groups are left in {group}");
        }
        finally
        {
            ProcessScan.KillAll(application.Work.Path);
            Until.Holds(() => Directory.GetDirectories(group, "*", SearchOption.AllDirectories).Append(group).OrderByDescending(name => name.Length).All(Removed), TimeSpan.FromSeconds(10));
        }
    }

    private static bool Removed(string group)
    {
        try
        {
            Directory.Delete(group);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static void LoseSupervisor(TestApplication application)
    {
        foreach (var supervisor in application.Supervisors())
        {
            ProcessScan.Kill(supervisor.Pid);
        }

        Until.Required(() => application.Supervisors().Count == 0, () => "a supervisor lives on");
    }

    private static void RequireRefusal(CommandResult result, string code, int status)
    {
        result.RequiredToBeRefused();
        Assert.True(result.ErrorCode == code && result.ExitCode == status, result.ToString());
        Assert.Contains("root", result.Error, StringComparison.Ordinal);
    }

    private static CommandResult InHome(TestApplication application, params string[] words) =>
        application.Command(["/usr/bin/env", "-u", "XDG_DATA_HOME", "-u", "HOLDFAST_STORE", $"HOME={application.Work.Path}", Repository.HoldfastCommand, words[0], "-o", "json", .. words[1..]]);
}
