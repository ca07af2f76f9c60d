using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class LaunchTests : IDisposable
{
    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    [Fact]
    public void A_program_runs_with_its_arguments_environment_and_directory()
    {
        SpaceRequest request = space.Request("sh", "-c", "echo \"$0|$1|$GREETING|$(pwd)\" > result", "first arg", "");
        request = request with { Environment = [.. request.Environment, "GREETING=héllo=1"] };

        Assert.Equal(0, SpaceFixture.Finish(space.Run(request)));

        Assert.Equal($"first arg||héllo=1|{space.Root}\n", File.ReadAllText(space.PathOf("result")));
    }

    [Theory]
    [InlineData("exit 0", 0)]
    [InlineData("exit 3", 3)]
    [InlineData("exit 255", 255)]
    [InlineData("kill -TERM $$", 128 + 15)]
    [InlineData("kill -KILL $$", 128 + 9)]
    public void The_main_processs_end_is_the_applications(string script, int status)
    {
        RunningApplication application = space.Run(script);

        Assert.Equal(status, SpaceFixture.Finish(application));
        Assert.Equal(status, ExitFile.Read(application.Target.ExitFile!));
    }

    [Theory]
    [InlineData("no-such-program", CommandPath.NotFound)]
    [InlineData("./no-such-program", CommandPath.NotFound)]
    [InlineData("", CommandPath.NotFound)]
    [InlineData("./not-executable", CommandPath.NotExecutable)]
    [InlineData("./directory", CommandPath.NotExecutable)]
    [InlineData("only-in-path", CommandPath.NotExecutable)]
    [InlineData("./no-interpreter", CommandPath.NotFound)]
    public void A_program_that_cannot_be_run_is_refused_as_env_would_and_leaves_nothing(string program, string code)
    {
        Directory.CreateDirectory(space.PathOf("directory"));
        File.WriteAllText(space.PathOf("not-executable"), "#!/bin/sh\n");
        File.WriteAllText(space.PathOf("only-in-path"), "#!/bin/sh\n");
        MakeExecutable("no-interpreter", "#!/no/such/interpreter\n");
        string name = $"refused{Random.Shared.Next()}";
        SpaceRequest request = space.Request(program) with { Name = name, Environment = [$"PATH=/nowhere:{space.Root}"] };

        BridgeException refused = Assert.Throws<BridgeException>(() => Space.Start(request));

        Assert.Equal(code, refused.Code);
        Assert.Empty(Directory.GetFiles(request.StateDirectory));
        Assert.DoesNotContain(Groups(), g => g.StartsWith(name, StringComparison.Ordinal));
    }

    [Fact]
    public void A_script_without_an_interpreter_line_is_run_by_the_shell()
    {
        MakeExecutable("script", "echo \"$0 $1\" > result; exit 6\n");

        Assert.Equal(6, SpaceFixture.Finish(space.Run(space.Request("./script", "argument"))));
        Assert.Equal("./script argument\n", File.ReadAllText(space.PathOf("result")));
    }

    [Fact]
    public void A_missing_directory_is_refused_by_name()
    {
        BridgeException refused = Assert.Throws<BridgeException>(() => Space.Start(space.Request("true") with { WorkingDirectory = "/no/such/directory" }));

        Assert.Equal("launch.directory", refused.Code);
        Assert.Contains("/no/such/directory", refused.Message);
    }

    [Fact]
    public void An_unknown_namespace_is_refused_by_name()
    {
        BridgeException refused = Assert.Throws<BridgeException>(() => Space.Start(space.Request("true") with { Isolate = new HashSet<string> { "moon" } }));

        Assert.Equal("space.namespace", refused.Code);
    }

    [Fact]
    public void Standard_streams_are_the_ones_given()
    {
        using FileStream input = File.Create(space.PathOf("input"));
        using FileStream output = File.Create(space.PathOf("output"));
        using FileStream errors = File.Create(space.PathOf("errors"));
        input.Write("from the input\n"u8);
        input.Position = 0;
        input.Flush();
        int[] streams = [Number(input), Number(output), Number(errors)];

        Assert.Equal(0, SpaceFixture.Finish(space.Run(space.Shell("cat; echo to the errors >&2") with { StandardStreams = streams })));

        output.Dispose();
        errors.Dispose();
        Assert.Equal("from the input\n", File.ReadAllText(output.Name));
        Assert.Equal("to the errors\n", File.ReadAllText(errors.Name));
    }

    [Fact]
    public void State_directories_may_have_paths_longer_than_a_socket_address()
    {
        string state = Directory.CreateDirectory(Path.Combine(space.Root, new string('d', 100), new string('e', 100))).FullName;
        RunningApplication application = space.Run(space.Request("sleep", "1000") with { StateDirectory = state });

        using InitClient client = InitClient.Connect(application.Target.InitSocket!);
        Assert.Equal(application.MainPid, client.Status().MainPid);
    }

    [Fact]
    public void An_argument_list_that_is_too_long_is_refused()
    {
        BridgeException refused = Assert.Throws<BridgeException>(() => Space.Start(space.Request("true", new string('x', 200_000))));

        Assert.Equal(CommandPath.NotExecutable, refused.Code);
    }

    [Fact]
    public async Task Many_launches_at_once_do_not_disturb_each_other()
    {
        int[] statuses = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => Task.Run(async () =>
        {
            RunningApplication application = space.Run($"echo {i} > many{i}; exit {i + 100}");
            int status = await application.Exited.WaitAsync(SpaceFixture.Patience);
            Assert.False(Directory.Exists(application.Target.CgroupPath));
            return status;
        })));

        Assert.Equal(Enumerable.Range(100, 30), statuses);
        Assert.All(Enumerable.Range(0, 30), i => Assert.Equal($"{i}\n", File.ReadAllText(space.PathOf($"many{i}"))));
    }

    private static string[] Groups()
    {
        string mount = CgroupTree.FindMounts(File.ReadLines("/proc/self/mountinfo")).First();
        string parent = Path.Combine(mount, "holdfast");
        return Directory.Exists(parent) ? [.. Directory.GetDirectories(parent).Select(d => Path.GetFileName(d)!)] : [];
    }

    private void MakeExecutable(string name, string text)
    {
        File.WriteAllText(space.PathOf(name), text);
        File.SetUnixFileMode(space.PathOf(name), (UnixFileMode)0x1ed);
    }

    private static int Number(FileStream file) => (int)file.SafeFileHandle.DangerousGetHandle();
}
