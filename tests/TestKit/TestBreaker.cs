using Akka.Pattern;

namespace Akka.TestKit;

/// <summary>A circuit breaker with a latch for each of its states.</summary>
public class TestBreaker
{
    public TestBreaker(CircuitBreaker instance)
    {
        Instance = instance;
        instance.OnClose(() => Signal(ClosedLatch)).OnHalfOpen(() => Signal(HalfOpenLatch)).OnOpen(() => Signal(OpenLatch));
    }

    public CircuitBreaker Instance { get; }

    public CountdownEvent OpenLatch { get; } = new(1);

    public CountdownEvent HalfOpenLatch { get; } = new(1);

    public CountdownEvent ClosedLatch { get; } = new(1);

    private static void Signal(CountdownEvent latch)
    {
        if (!latch.IsSet)
        {
            latch.Signal();
        }
    }
}
