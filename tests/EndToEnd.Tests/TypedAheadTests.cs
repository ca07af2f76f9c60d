using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>A shell at whose terminal more was typed than it has read: it runs that, once and in order, whether it went on or was restored.</summary>
public sealed class TypedAheadTests
{
    [InstalledFact("bash")]
    public void What_was_typed_ahead_at_a_shell_is_run_after_a_checkpoint_and_after_every_restore()
    {
        using var application = TestApplication.StartCommand("typed", [BuiltPrograms.Application("typed_ahead.py")!, "WORK"]);
        for (var round = 0; round < LongMode.Count(3, 10); round++)
        {
            var number = round.ToString(CultureInfo.InvariantCulture);
            application.Work.Mark($"type-{number}");
            Await(application, $"typed-{number}");
            application.Checkpoint();
            if (round != 0)
            {
                application.KillByForce();
                application.Restore();
            }

            application.Work.Mark($"release-{number}");
            Await(application, $"done-{number}");
        }

        application.RequirePass();
    }

    private static void Await(TestApplication application, string mark)
    {
        Until.Required(() => application.Work.Has(mark) || application.Work.Result is not null, () => $"{mark} never came: {application.Describe()}");
        Assert.Null(application.Work.Result);
    }
}
