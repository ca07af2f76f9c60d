using Akka.Dispatch;
using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

/// <summary>The reference of an actor in this process.</summary>
internal class LocalActorRef : ActorRefBase, IInternalActorRef
{
    private readonly ActorCell _cell;

    public LocalActorRef(ActorSystemImpl system, Props props, MessageDispatcher dispatcher, MailboxType mailboxType, IInternalActorRef parent, ActorPath path)
    {
        Path = path;
        _cell = new ActorCell(system, this, props, dispatcher, parent, mailboxType);
    }

    public override ActorPath Path { get; }

    public ActorCell Cell => _cell;

    public virtual IInternalActorRef? Parent => _cell.Parent;

    public bool IsLocal => true;

    public bool IsTerminated => _cell.IsTerminated;

    public void Start() => _cell.Start();

    public void Suspend() => _cell.SendSystemMessage(new Suspend());

    public void Resume(Exception? causedByFailure) => _cell.SendSystemMessage(new Resume(causedByFailure));

    public void Restart(Exception cause) => _cell.SendSystemMessage(new Recreate(cause));

    public void Stop() => _cell.SendSystemMessage(new Terminate());

    public void SendSystemMessage(SystemMessage message) => _cell.SendSystemMessage(message);

    public virtual IInternalActorRef? GetChild(string name) => _cell.FindChild(name);

    protected override void TellInternal(object message, IActorRef? sender) => _cell.SendMessage(message, sender);
}
