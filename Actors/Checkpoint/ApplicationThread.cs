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
        Receive<FindProcesses>(_ => Step("enumeration", c => new ProcessesFound(c.FindProcesses())));
        Receive<FreezeApplication>(m => Step("freeze", c => Freeze(c, m.Deadline)));
        Receive<ThawApplication>(_ => Thaw());
        Receive<LocateShared>(m => Step("look across processes", c => new SharedLocated(c.Locate(m.Facts))));
        Receive<AssembleImage>(m => Step("assembly", c => new ImageAssembled(c.Assemble(m.Processes))));
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

    private ApplicationFrozen Freeze(ICheckpoint checkpoint, TimeSpan deadline)
    {
        _frozen = true;
        checkpoint.Freeze(deadline);
        return new ApplicationFrozen();
    }

    private void Thaw()
    {
        if (!_frozen)
        {
            Sender.Tell(new ApplicationThawed());
            return;
        }

        Step("thaw", c =>
        {
            c.Thaw();
            _frozen = false;
            return new ApplicationThawed();
        });
    }

    private void Step(string step, Func<ICheckpoint, object> call) => Sender.Tell(StepRunner.Run(0, step, () => _checkpoint.Use(call)));
}
