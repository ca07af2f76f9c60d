namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// Real programs, unmodified, lose everything to SIGKILL and go on with the right next line of output, several times in a row.
/// </summary>
public sealed class ApplicationTests
{
    private static readonly int Rounds = LongMode.Count(2, 10);

    /// <summary>Name, command (the program first), files of foretold lines.</summary>
    public static TheoryData<string, string, string> Applications => new()
    {
        { "bash", "bash.sh WORK", "out-pipe out-job" },
        { "python", "/usr/bin/python3 python.py WORK", "out" },
        { "perl", "perl.pl WORK", "out" },
        { "threads", "threads WORK", "out" },
        { "goroutines", "goroutines WORK", "out" },
        { "pipeline", "pipeline WORK", "out" },
        { "channels", "channels WORK", "out" },
        { "busybox", "busybox.sh WORK", "out" },
    };

    [Theory]
    [MemberData(nameof(Applications))]
    public void A_real_application_goes_on_with_the_right_next_line(string name, string command, string outputs) => GoesOn(name, command, outputs, []);

    [Theory]
    [MemberData(nameof(Applications))]
    public void A_real_application_that_takes_part_in_its_checkpoints_goes_on_with_the_right_next_line(string name, string command, string outputs) =>
        GoesOn(name, command, outputs, ["--intercept"]);

    private static void GoesOn(string name, string command, string outputs, IReadOnlyList<string> options)
    {
        if (Command(command) is not { } words)
        {
            // Said by applications/build.sh: the language is not installed.
            return;
        }

        using var application = TestApplication.StartCommand(name, words, options);
        string[] files = [.. outputs.Split(' ').Select(application.Work.In)];
        for (var round = 0; round < Rounds; round++)
        {
            var before = files.ToDictionary(file => file, file => ForetoldOutput.RequireWhole(file, false));
            application.Checkpoint();
            application.KillByForce();
            // What it wrote between the snapshot and its death it writes again, over the same bytes.
            application.Restore(filesAsIs: true);
            // Nothing from before the snapshot is lost (an application that began anew would have lost it), and it goes on.
            var after = files.ToDictionary(file => file, file => ForetoldOutput.RequireWhole(file, false));
            Assert.True(application.Processes().Count > 0, $"{name} ended after restore {round + 1}: {application.Work.Result}");
            Assert.All(files, file => Assert.True(after[file] >= before[file], $"{file}: {after[file]} lines, {before[file]} before the checkpoint"));
            Until.Required(
                () => application.Processes().Count == 0 || files.All(file => ForetoldOutput.RequireWhole(file, false) >= after[file] + 3),
                () => $"{name} stands still after restore {round + 1}: {application.Describe()}");
        }

        application.RequirePass();
        Assert.All(files, file => ForetoldOutput.RequireWhole(file, true));
    }

    [Theory]
    [MemberData(nameof(Applications))]
    public void A_real_application_does_not_notice_checkpoints(string name, string command, string outputs)
    {
        if (Command(command) is not { } words)
        {
            return;
        }

        using var application = TestApplication.StartCommand(name, words);
        for (var round = 0; round < LongMode.Count(3, 30); round++)
        {
            application.Checkpoint();
        }

        application.RequirePass();
        Assert.All(outputs.Split(' '), file => ForetoldOutput.RequireWhole(application.Work.In(file), true));
    }

    /// <returns>The words with full paths of what is built here, or null when it could not be built on this machine.</returns>
    private static List<string>? Command(string command)
    {
        List<string> words = [];
        foreach (var word in command.Split(' '))
        {
            if (word.StartsWith('/') || word == "WORK")
            {
                words.Add(word);
            }
            else if (BuiltPrograms.Application(word) is { } path)
            {
                words.Add(path);
            }
            else
            {
                return null;
            }
        }

        return words;
    }
}
