using Akka.Dispatch;
using Akka.Event;

namespace Akka.TestKit;

/// <summary>Runs an actor on the thread that sends to it.</summary>
public class CallingThreadDispatcher : MessageDispatcher
{
    public static new readonly string Id = "akka.test.calling-thread-dispatcher";

    internal CallingThreadDispatcher(string id, int throughput, long? deadline, EventStream eventStream)
        : base(id, throughput, deadline, eventStream)
    {
    }

    protected override void ExecuteTask(IRunnable run) => run.Run();
}

internal sealed class CallingThreadDispatcherConfigurator : DispatcherFactory
{
    public override Func<MessageDispatcher> Start(string id, int throughput, long? deadline, EventStream eventStream)
    {
        var dispatcher = new CallingThreadDispatcher(id, int.MaxValue, null, eventStream);
        return () => dispatcher;
    }
}
