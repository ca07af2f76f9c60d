namespace Holdfast.EndToEnd.Tests;

/// <summary>A per-CPU counter in restartable sequences stays right however often the application is checkpointed.</summary>
public sealed class RestartableSequenceTests
{
    [Fact]
    public void A_counter_per_processor_survives_many_checkpoints_and_a_restore()
    {
        using var application = TestApplication.StartProgram("rseq_counter", "");
        if (application.Skipped)
        {
            return;
        }

        // One command each; old snapshots are forgotten so that the store stays small.
        List<string> old = [];
        for (var round = LongMode.Count(60, 10000); round > 0; round--)
        {
            var snapshot = application.Checkpoint().Text("snapshot");
            if (old.Count == 50)
            {
                application.Holdfast("forget", old).Required();
                old.Clear();
            }

            old.Add($"{application.Name}@{snapshot}");
        }

        application.Kill();
        application.Restore();
        application.RequirePass();
    }
}
