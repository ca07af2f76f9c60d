namespace Holdfast.EndToEnd.Tests;

/// <summary>What is done to a program in the middle of its life.</summary>
internal static class StateProgramScenarios
{
    public static TheoryData<string, string> Programs() => StateProgram.Rows(program => program.Suite.Length == 0 && !program.Refused);

    /// <summary>One of so many of them, those whose turn it is; all in the long run.</summary>
    public static TheoryData<string, string> Some(int part, string? except = null)
    {
        TheoryData<string, string> some = [];
        foreach (var row in Programs().Where(row => (string)row[0] != except && Rotation.IsTurnOf($"{row[0]} {row[1]}", part)))
        {
            some.Add((string)row[0], (string)row[1]);
        }

        return some;
    }

    /// <summary>
    /// A checkpoint, then the end of every process. A program that writes files ends with the checkpoint, for its files must be
    /// those of the snapshot.
    /// </summary>
    public static void Lose(TestApplication application, string program)
    {
        if (StateProgram.Named(program).WritesFiles)
        {
            application.CheckpointAndStop();
        }
        else
        {
            application.Checkpoint();
            application.Kill();
        }
    }

    /// <summary>Runs one program; the body is skipped where this machine lacks the subject.</summary>
    public static void With(string program, string programCase, Action<TestApplication> body)
    {
        // Time enough for three rounds of checkpoint and restore in the half that is left.
        using var application = TestApplication.StartProgram(program, programCase, 8);
        if (!application.Skipped)
        {
            body(application);
        }
    }
}

/// <summary>
/// Each program goes on after a restore, and can be checkpointed and restored again: three times for those whose turn it is, a tenth of them. A check before says that it
/// can be captured; a rehearsal of the first restore agrees with it and leaves nothing (a fifth, in turn).
/// </summary>
public sealed class RestoredInARowTests
{
    /// <summary>All of them, but of the many calls that sleep for seconds a third, in turn, and always the two in which most programs do.</summary>
    public static TheoryData<string, string> Programs
    {
        get
        {
            TheoryData<string, string> programs = [];
            foreach (var row in StateProgramScenarios.Programs().Where(row => (string)row[0] != "sleeps" || (string)row[1] is "futex" or "nanosleep" || Rotation.IsTurnOf((string)row[1], 3)))
            {
                programs.Add((string)row[0], (string)row[1]);
            }

            return programs;
        }
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_program_goes_on_after_restores_in_a_row(string program, string programCase) =>
        StateProgramScenarios.With(program, programCase, application =>
        {
            // A moment that passes, such as bytes on their way, is another one for the checkpoint.
            Until.Required(() => application.Check().Count == 0, () => $"the check refuses what can be captured: {string.Join(", ", application.Check())}");
            var rounds = Rotation.IsTurnOf($"{program} {programCase}", 10) ? 3 : 1;
            for (var round = 0; round < rounds; round++)
            {
                StateProgramScenarios.Lose(application, program);
                if (round == 0 && Rotation.IsTurnOf($"{program} {programCase}", 5))
                {
                    application.Rehearse();
                }

                application.Restore();
            }

            application.RequirePass();
        });
}

/// <summary>
/// A checkpoint leaves the original unharmed, and its snapshot is good although the original went on: restored beside it, or afterwards where both need the same thing
/// of the host. By default an eighth of the programs, in turn.
/// </summary>
public sealed class LeftRunningTests
{
    /// <summary>What an original that runs holds of the host, so that a copy cannot have it.</summary>
    private static readonly string[] Shared = ["port.taken", "socket.path", "fifo.busy", "restore.call", "restore.socket"];

    public static TheoryData<string, string> Programs => StateProgramScenarios.Some(8);

    [Theory]
    [MemberData(nameof(Programs))]
    public void The_original_passes_after_a_checkpoint_and_so_does_its_snapshot(string program, string programCase) =>
        StateProgramScenarios.With(program, programCase, application =>
        {
            var snapshot = application.Checkpoint().Text("snapshot")!;
            if (StateProgram.Named(program) is { WritesFiles: false, MeetsByFiles: false })
            {
                // Both check themselves when they are told to go, and the first word counts unless another one is a failure.
                var beside = application.RestoreBeside(snapshot, "copy");
                Assert.True(beside.Succeeded || Shared.Contains(beside.ErrorCode), beside.ToString());
                application.RequirePass();
                if (beside.Succeeded)
                {
                    return;
                }
            }
            else
            {
                application.RequirePass();
            }

            if (StateProgram.Named(program).WritesFiles)
            {
                // Memory of one moment over files of another would be silent corruption.
                application.Work.Forget();
                var refusal = application.Holdfast("restore", $"{application.Name}@{snapshot}", "--detach").RequiredToBeRefused();
                Assert.Contains(application.Work.Path, refusal.Output + refusal.Error, StringComparison.Ordinal);
                return;
            }

            application.Restore(snapshot);
            application.RequirePass();
        });
}
