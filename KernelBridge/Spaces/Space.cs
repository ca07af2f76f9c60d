using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceConfigBlock;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Starts virtualisation spaces, and the stubs of restores that go without one.</summary>
internal static class Space
{
    private static readonly TimeSpan startDeadline = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Starts a space. In <see cref="SpaceMode.Run"/> the program runs when this returns; in <see cref="SpaceMode.Build"/> the root stub
    /// pauses. Until <see cref="IRunningApplication.Keep"/> the space dies with this process.
    /// </summary>
    /// <exception cref="BridgeException">
    /// It could not be started, and nothing is left: <c>rights.missing</c>, <c>space.*</c>, <c>launch.not-found</c>,
    /// <c>launch.not-executable</c>, <c>launch.directory</c>, <c>restore.pid-taken</c>.
    /// </exception>
    /// <exception cref="ArgumentException">The request contradicts itself.</exception>
    public static SpaceHandle Start(SpaceRequest request)
    {
        Validate(request);
        Capabilities.Require($"a virtualisation space for {request.Name}", Capabilities.For(request));
        string program = request.Mode == SpaceMode.Run
            ? CommandPath.Resolve(request.Command[0], request.Environment, request.WorkingDirectory)
            : "";

        string state = Path.GetFullPath(request.StateDirectory);
        string socketPath = Path.Combine(state, InitSocket.Name);
        string exitPath = Path.Combine(state, ExitFile.Name);
        CgroupTree? cgroup = request.Grouped ? CgroupTree.Create(request.Name) : null;
        var report = new SpaceReport();
        SafeFileHandle? init = null;
        SafeFileHandle? lifeline = null;
        try
        {
            using SafeFileHandle listening = InitSocket.Listen(socketPath);
            using SafeFileHandle exit = Descriptors.Open(exitPath, O_WRONLY | O_CREAT | O_TRUNC, 0x180);
            (SafeFileHandle lifelineRead, lifeline) = Descriptors.Pipe();
            (SafeFileHandle goRead, SafeFileHandle go) = Descriptors.Pipe();
            using (lifelineRead)
            using (goRead)
            using (go)
            {
                List<(int, int)> descriptors =
                [
                    (Descriptors.Number(listening), ListenDescriptor), (Descriptors.Number(exit), ExitDescriptor),
                    (Descriptors.Number(lifelineRead), LifelineDescriptor), (Descriptors.Number(goRead), GoDescriptor),
                ];
                using SafeFileHandle reports = Spawn(
                    ForSpace(request, program, cgroup is not null), request.BaseAddress, request.StandardStreams, request.Extras, descriptors, cgroup);
                report.Read(reports, untilMain: true, startDeadline);
                if (report.InitPid != 0)
                {
                    // Our child, which only we reap: its pid cannot have been given to another process.
                    init = Descriptors.Own(OpenPidfd(report.InitPid), "space.start", "pidfd_open of the init");
                }

                if (init is null || report.MainPid == 0 || report.FailedStage != 0)
                {
                    throw report.Failure(program, request.WorkingDirectory, request.WantedPid);
                }

                ProcessIdentity identity = ProcessIdentity.Read(report.InitPid) ?? throw report.Failure(program, request.WorkingDirectory, request.WantedPid);
                var target = new ApplicationTarget(
                    ApplicationScope.Space, report.InitPid, identity.StartTime, ProcessIdentity.BootId(), cgroup?.App, socketPath, exitPath);
                int mainPid = FindMain(socketPath);
                SafeFileHandle main = Descriptors.Own(OpenPidfd(mainPid), "space.start", "pidfd_open of the main process");
                try
                {
                    if (request.Intercept)
                    {
                        Interception.InterceptLibrary.Install(mainPid);
                    }

                    Descriptors.WriteAll(go, "g"u8);
                    report.Read(reports, untilMain: false, startDeadline);
                    if (report.FailedStage != 0 || !report.Complete)
                    {
                        throw report.Failure(program, request.WorkingDirectory, request.WantedPid);
                    }

                    return new SpaceHandle(new RunningApplication(target, mainPid, init, main, isChild: true, lifeline), report.MainPid);
                }
                catch
                {
                    main.Dispose();
                    throw;
                }
            }
        }
        catch
        {
            // The init, when there is one, ends by the closed lifeline; the signal is for one that does not get that far.
            lifeline?.Dispose();
            if (init is not null)
            {
                SendSignal(Descriptors.Number(init), SIGKILL);
                ChildProcess.Reap(report.InitPid);
                init.Dispose();
            }

            SpaceRemains.Remove(cgroup, socketPath);
            File.Delete(exitPath);
            throw;
        }
    }

    /// <summary>Starts a root stub without a space: a child of this process, with all signals blocked, that only pauses.</summary>
    /// <exception cref="BridgeException">It could not be started, for example since its pid is taken (<c>restore.pid-taken</c>).</exception>
    public static StubHandle StartStub(StubRequest request)
    {
        ValidateStreams(request.StandardStreams, request.Extras);
        using SafeFileHandle reports = Spawn(ForStub(request), request.BaseAddress, request.StandardStreams, request.Extras, [], request.Cgroup);
        var report = new SpaceReport();
        report.Read(reports, untilMain: false, startDeadline);
        if (report.MainPid == 0)
        {
            throw report.Failure("", "/", request.WantedPid);
        }

        SafeFileHandle stub = Descriptors.Own(OpenPidfd(report.MainPid), "space.start", "pidfd_open of the stub");
        if (report.FailedStage != 0 || !report.Complete)
        {
            SendSignal(Descriptors.Number(stub), SIGKILL);
            ChildProcess.Reap(report.MainPid);
            stub.Dispose();
            throw report.Failure("", "/", request.WantedPid);
        }

        return new StubHandle(report.MainPid, stub);
    }

    /// <summary>Starts the starter, lets it end, and returns the read end of its reports.</summary>
    private static SafeFileHandle Spawn(
        byte[] configuration, ulong baseAddress, IReadOnlyList<int> streams, IReadOnlyList<DescriptorPair> extras, List<(int, int)> descriptors,
        CgroupTree? cgroup)
    {
        (SafeFileHandle read, SafeFileHandle write) = Descriptors.Pipe();
        List<SafeFileHandle> opened = [write];
        try
        {
            SafeFileHandle Keep(SafeFileHandle handle)
            {
                opened.Add(handle);
                return handle;
            }

            SafeFileHandle executable = Keep(Descriptors.Memory("holdfast-init", InitProgram.Executable(baseAddress), executable: true));
            descriptors.Add((Descriptors.Number(write), ReportDescriptor));
            descriptors.Add((Descriptors.Number(Keep(Descriptors.Memory("holdfast-config", configuration, executable: false))), ConfigDescriptor));
            if (cgroup is not null)
            {
                void AddFile(string path, int target, int flags = O_WRONLY) => descriptors.Add((Descriptors.Number(Keep(Descriptors.Open(path, flags))), target));
                AddFile(cgroup.Init, InitGroupDescriptor, O_RDONLY);
                AddFile(cgroup.App, AppGroupDescriptor, O_RDONLY);
                AddFile(Path.Combine(cgroup.Init, "cgroup.procs"), InitProcsDescriptor);
                AddFile(Path.Combine(cgroup.App, "cgroup.procs"), AppProcsDescriptor);
                AddFile(Path.Combine(cgroup.App, "cgroup.freeze"), FreezeDescriptor);
            }

            descriptors.AddRange(streams.Select((source, i) => (source, i)));
            descriptors.AddRange(extras.Select((pair, i) => (pair.Source, FirstExtra + i)));
            int starter = SpawnedProgram.Start(executable, descriptors);
            // It does a fixed number of system calls and ends; its failure, too, is in the report.
            ChildProcess.Reap(starter);
            return read;
        }
        catch
        {
            read.Dispose();
            throw;
        }
        finally
        {
            opened.ForEach(h => h.Dispose());
        }
    }

    private static int FindMain(string socketPath)
    {
        using InitClient client = InitClient.Connect(socketPath);
        int pid = client.Status().MainPid;
        return pid > 0 ? pid : throw new BridgeException("space.start", "starting the space", "its main process ended before it was up");
    }

    private static void Validate(SpaceRequest request)
    {
        ValidateStreams(request.StandardStreams, request.Extras);
        if (!Directory.Exists(request.StateDirectory))
        {
            throw new BridgeException("space.state-directory", request.StateDirectory, "there is no such directory", "make it first");
        }

        string? unknown = request.Isolate.FirstOrDefault(n => !NamespaceFlags.ContainsKey(n));
        if (unknown is not null)
        {
            throw new BridgeException(
                "space.namespace", $"namespace \"{unknown}\"", "there is none of that name",
                $"use {string.Join(", ", NamespaceFlags.Keys)}");
        }

        if (request.Isolate.Contains("time") && !File.Exists("/proc/self/ns/time"))
        {
            throw new BridgeException("space.unsupported", "the time namespace", "this kernel has none", "leave it out of isolate");
        }

        if (request.Mode == SpaceMode.Stub || (request.Mode == SpaceMode.Run && (request.Command.Count == 0 || request.Extras.Count > 0)))
        {
            throw new ArgumentException("run mode takes a command and no extra descriptors; a stub without a space is started by StartStub", nameof(request));
        }

        if ((request.MonotonicOffset != default || request.BootTimeOffset != default) && !request.Isolate.Contains("time"))
        {
            throw new ArgumentException("clock offsets take a time namespace", nameof(request));
        }
    }

    private static void ValidateStreams(IReadOnlyList<int> streams, IReadOnlyList<DescriptorPair> extras)
    {
        if (streams.Count != 3 || extras.Count > SpaceRequest.MaxExtras || extras.Any(e => e.Target < 3)
            || extras.DistinctBy(e => e.Target).Count() != extras.Count)
        {
            throw new ArgumentException($"three standard streams, and at most {SpaceRequest.MaxExtras} extra descriptors with different targets above 2");
        }
    }
}
