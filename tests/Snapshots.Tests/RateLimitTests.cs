namespace Holdfast.Snapshots.Tests;

public sealed class RateLimitTests
{
    [Fact]
    public async Task What_is_sent_takes_as_long_as_the_limit_says_and_idle_time_is_not_made_up_for()
    {
        var clock = new Clock();
        var limit = new RateLimit(1000, clock);
        for (int i = 0; i < 10; i++)
        {
            await limit.TakeAsync(500, default);
        }

        Assert.Equal(5, clock.Seconds, 3);
        clock.Pass(TimeSpan.FromSeconds(60));
        await limit.TakeAsync(2000, default);
        Assert.Equal(67, clock.Seconds, 3);
    }

    [Fact]
    public async Task Without_a_limit_nothing_waits()
    {
        var clock = new Clock();
        await new RateLimit(null, clock).TakeAsync(long.MaxValue, default);
        Assert.Equal(0, clock.Seconds);
    }

    /// <summary>Time passes when somebody waits.</summary>
    private sealed class Clock : TimeProvider
    {
        private long _ticks;

        public double Seconds => TimeSpan.FromTicks(_ticks).TotalSeconds;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        public void Pass(TimeSpan time) => _ticks += time.Ticks;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Pass(dueTime);
            return System.CreateTimer(callback, state, TimeSpan.Zero, period);
        }
    }
}
