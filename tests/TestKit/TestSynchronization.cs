namespace Akka.TestKit;

/// <summary>Lets a number of threads wait for each other.</summary>
public class TestBarrier
{
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(5);

    private readonly TestKitBase _testKit;
    private readonly TimeSpan _timeout;
    private readonly Barrier _barrier;

    public TestBarrier(TestKitBase testKit, int count, TimeSpan? defaultTimeout = null)
    {
        _testKit = testKit;
        _timeout = testKit.Dilated(defaultTimeout ?? testKit.TestKitSettings.DefaultTimeout);
        _barrier = new Barrier(count);
    }

    public void Await() => Await(_timeout);

    public void Await(TimeSpan timeout)
    {
        if (!_barrier.SignalAndWait(_testKit.Dilated(timeout)))
        {
            throw new TimeoutException($"Timeout of {timeout} while waiting at the barrier");
        }
    }
}

/// <summary>Lets threads wait until it was counted down.</summary>
public class TestLatch
{
    private readonly CountdownEvent _latch;
    private readonly Func<TimeSpan, TimeSpan> _dilate;

    public TestLatch()
        : this(1)
    {
    }

    public TestLatch(int count)
        : this(static duration => duration, count, TimeSpan.FromSeconds(5))
    {
    }

    public TestLatch(Func<TimeSpan, TimeSpan> dilate, int count, TimeSpan defaultTimeout)
    {
        _dilate = dilate;
        _latch = new CountdownEvent(count);
        DefaultTimeout = defaultTimeout;
    }

    public TimeSpan DefaultTimeout { get; }

    public bool IsOpen => _latch.CurrentCount == 0;

    public void CountDown() => _latch.Signal();

    public void Open()
    {
        while (!IsOpen)
        {
            CountDown();
        }
    }

    public void Reset() => _latch.Reset();

    public void Ready() => Ready(DefaultTimeout);

    public void Ready(TimeSpan timeout)
    {
        if (!_latch.Wait(_dilate(timeout)))
        {
            throw new TimeoutException($"Timeout of {timeout} while waiting for the latch");
        }
    }
}
