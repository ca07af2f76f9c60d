namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// Each program goes on after a restore that runs it before its memory is loaded, so slowly that it does its work meanwhile; a checkpoint in the middle is as good as any.
/// By default a sixteenth of the programs, in turn, and always the one that is about such memory.
/// </summary>
public sealed class LazyRestoreTests
{
    private const string Subject = "memory_on_demand";

    public static TheoryData<string, string> Programs
    {
        get
        {
            var programs = StateProgramScenarios.Some(16);
            foreach (var programCase in StateProgram.Named(Subject).Cases.Where(programCase => !programs.Any(row => (string)row[0] == Subject && (string)row[1] == programCase)))
            {
                programs.Add(Subject, programCase);
            }

            return programs;
        }
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_program_goes_on_before_its_memory_is_loaded(string program, string programCase) =>
        StateProgramScenarios.With(program, programCase, application =>
        {
            StateProgramScenarios.Lose(application, program);
            application.Restore(lazy: true);
            // Taken while memory is missing: it waits for that, and holds everything.
            StateProgramScenarios.Lose(application, program);
            application.Restore(lazy: true);
            application.RequirePass();
        });
}
