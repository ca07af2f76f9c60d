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
}
