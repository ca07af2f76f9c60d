using Akka.Actor;
using Akka.Event;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>Makes the calls about the application as a whole, which may block, so that the coordinator never does.</summary>
internal sealed class ApplicationThread : ReceiveActor
{
    private readonly SharedCheckpoint _checkpoint;
    private bool _frozen;

    public ApplicationThread(SharedCheckpoint checkpoint)
    {
        _checkpoint = checkpoint;
        Receive<FindProcesses>(_ => Sender.Tell(Find()));
        Receive<FreezeApplication>(m => Sender.Tell(Then<Frozen>(Freeze(m.Deadline), _ => Find())));
        Receive<ThawIfAllStand>(m => Sender.Tell(Then<ProcessesFound>(
            Find(),
            found => found.Pids.All(m.Standing.Contains) ? Then<ApplicationThawed>(Thaw(), _ => new AllStand(found.Pids)) : found)));
        Receive<ThawApplication>(_ => Sender.Tell(Thaw()));
        Receive<LocateShared>(m => Step("look across processes", c => new SharedLocated(c.Locate(m.Facts))));
        Receive<AssembleImage>(m => Sender.Tell(Then<ImageAssembled>(
            Run("assembly", c => new ImageAssembled(c.Assemble(m.Processes), default)),
            assembled => m.PumpTo is not { } sink ? assembled : Run("pumping shared pages", c => assembled with { Pages = c.PumpShared(sink) }))));
        Receive<PumpPages>(m => Step("pumping shared pages", c => new PagesStored(0, c.PumpShared(m.Sink))));
        Receive<ReadFreezeTime>(_ => Step("freeze time", c => new FreezeTimeRead(c.FreezeTime)));
    }

    protected override void PostStop()
    {
        try
        {
            _checkpoint.Dispose();
        }
        catch (Exception e)
        {
            Context.GetLogger().Error(e, "the application could not be let go");
        }
    }

    private object Find() => Run("enumeration", c => new ProcessesFound(c.FindProcesses()));

    private object Freeze(TimeSpan deadline) => Run("freeze", c =>
    {
        _frozen = true;
        c.Freeze(deadline);
        return new Frozen();
    });

    private object Thaw() => !_frozen ? new ApplicationThawed() : Run("thaw", c =>
    {
        c.Thaw();
        _frozen = false;
        return new ApplicationThawed();
    });

    /// <summary>What follows when a call has had its outcome; its failure is an answer as it is.</summary>
    private static object Then<T>(object outcome, Func<T, object> next) => outcome is T expected ? next(expected) : outcome;

    private void Step(string step, Func<ICheckpoint, object> call) => Sender.Tell(Run(step, call));

    private object Run(string step, Func<ICheckpoint, object> call) => StepRunner.Run(0, step, () => _checkpoint.Use(call));

    private sealed record Frozen;
}
