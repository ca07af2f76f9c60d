using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>A web server with its workers and its clients: those inside the application keep their connection, those outside connect again.</summary>
public sealed class WebServerTests
{
    private static readonly string[] Clients = ["out-kept", "out-new"];

    [InstalledFact("nginx")]
    public async Task Nginx_serves_on_after_every_restore_and_still_reads_its_configuration_again()
    {
        using var application = TestApplication.StartCommand("nginx", [BuiltPrograms.Application("nginx.py")!, "WORK"]);
        var port = int.Parse(File.ReadAllText(application.Work.In("port")), CultureInfo.InvariantCulture);
        using HttpClient outside = new() { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        string[] files = [.. Clients.Select(application.Work.In)];
        for (var round = 0; round < LongMode.Count(2, 10); round++)
        {
            // This connection stays open, and is the server's at the moment of the snapshot.
            Assert.Equal(Served.Content, await outside.GetByteArrayAsync("/content"));
            var before = files.ToDictionary(file => file, file => ForetoldOutput.RequireWhole(file, false));
            application.CheckpointBetweenBytes();
            application.KillByForce();
            Until.Required(() => !Served.Listens(port), () => $"port {port} is still served");
            application.Restore(filesAsIs: true);
            Assert.Equal("first", await outside.GetStringAsync("/generation"));
            Assert.Equal(Served.Content, await outside.GetByteArrayAsync("/content"));
            var after = files.ToDictionary(file => file, file => ForetoldOutput.RequireWhole(file, false));
            Assert.All(files, file => Assert.True(after[file] >= before[file], $"{file}: {after[file]} lines, {before[file]} before the checkpoint"));
            Until.Required(
                () => application.Work.Result is not null || files.All(file => ForetoldOutput.RequireWhole(file, false) >= after[file] + 10),
                () => $"the clients stand still after restore {round + 1}: {application.Describe()}");
            Assert.Null(application.Work.Result);
        }

        application.Work.Mark("quiet");
        Until.Required(
            () => application.Work.Result is not null || files.All(file => File.ReadAllText(file).EndsWith("end\n", StringComparison.Ordinal)),
            () => $"the clients do not end: {application.Describe()}");
        Assert.Null(application.Work.Result);
        Assert.All(files, file => ForetoldOutput.RequireWhole(file, true));
        application.Work.Mark("reload");
        Until.Required(() => application.Work.Has("reloaded"), () => $"no new workers: {File.ReadAllText(application.Work.In("error.log"))}");
        Assert.Equal("second", await outside.GetStringAsync("/generation"));
        application.RequirePass();
    }
}
