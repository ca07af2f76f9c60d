namespace Akka.TestKit;

/// <summary>Lets a number of threads wait for each other.</summary>
public class TestBarrier
{
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(5);

    private readonly TestKitBase _testKit;
    private readonly TimeSpan _timeout;
    private readonly int _count;
    private Barrier _barrier;

    public TestBarrier(TestKitBase testKit, int count, TimeSpan? defaultTimeout = null)
    {
        _testKit = testKit;
        _timeout = defaultTimeout ?? testKit.TestKitSettings.DefaultTimeout;
        _count = count;
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

    public void Reset() => _barrier = new Barrier(_count);
}

/// <summary>Lets threads wait until it was counted down.</summary>
public class TestLatch
{
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(5);

    private readonly CountdownEvent _latch;
    private readonly Func<TimeSpan, TimeSpan> _dilate;
    private readonly TimeSpan _timeout;

    public TestLatch()
        : this(1)
    {
    }

    public TestLatch(int count)
        : this(count, DefaultTimeout)
    {
    }

    public TestLatch(int count, TimeSpan defaultTimeout)
        : this(static duration => duration, defaultTimeout, count)
    {
    }

    protected TestLatch(Func<TimeSpan, TimeSpan> dilate, TimeSpan defaultTimeout, int count)
    {
        _dilate = dilate;
        _latch = new CountdownEvent(count);
        _timeout = defaultTimeout;
    }

    public bool IsOpen => _latch.IsSet;

    internal static TestLatch Create(Func<TimeSpan, TimeSpan> dilate, TimeSpan defaultTimeout, int count) => new(dilate, defaultTimeout, count);

    public void CountDown() => _latch.Signal();

    public void Open()
    {
        while (!IsOpen)
        {
            CountDown();
        }
    }

    public void Reset() => _latch.Reset();

    public void Ready() => Ready(_timeout);

    public void Ready(TimeSpan timeout)
    {
        if (!_latch.Wait(_dilate(timeout)))
        {
            throw new TimeoutException($"Timeout of {timeout} while waiting for the latch");
        }
    }
}
