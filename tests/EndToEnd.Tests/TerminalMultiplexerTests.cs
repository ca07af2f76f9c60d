using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>A terminal multiplexer with an editor in it, and a client that is attached: text that was never written to a file is still there.</summary>
public sealed class TerminalMultiplexerTests
{
    [InstalledFact("tmux", "vim")]
    public void What_was_typed_into_vim_inside_tmux_is_there_after_every_restore_and_more_can_be_typed()
    {
        using var application = TestApplication.StartCommand("tmux", [BuiltPrograms.Application("tmux.py")!, "WORK"]);
        List<string> lines = [];
        for (var round = 0; round < LongMode.Count(2, 10); round++)
        {
            Type(application, lines);
            Type(application, lines);
            application.CheckpointBetweenBytes();
            application.KillByForce();
            application.Restore(filesAsIs: true);
            Assert.Null(application.Work.Result);
        }

        Type(application, lines);
        Type(application, lines);
        Do(application, "resize", "resized");
        Do(application, "save", "saved");
        // Vim ends every line, and stands on an empty one behind the last.
        Assert.Equal([.. lines, ""], File.ReadAllLines(application.Work.In("text")));
        application.RequirePass();
    }

    private static void Type(TestApplication application, List<string> lines)
    {
        var number = lines.Count.ToString(CultureInfo.InvariantCulture);
        lines.Add($"line {number} of the text");
        var hidden = application.Work.In(".typing");
        File.WriteAllText(hidden, lines[^1]);
        File.Move(hidden, application.Work.In($"type-{number}"));
        Await(application, $"typed-{number}");
    }

    private static void Do(TestApplication application, string what, string done)
    {
        application.Work.Mark(what);
        Await(application, done);
    }

    private static void Await(TestApplication application, string mark)
    {
        Until.Required(() => application.Work.Has(mark) || application.Work.Result is not null, () => $"{mark} never came: {application.Describe()}");
        Assert.Null(application.Work.Result);
    }
}
