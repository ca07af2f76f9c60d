namespace Holdfast.Snapshots.Tests;

public sealed class SendWindowTests
{
    private const int Record = 128 * 1024;

    private readonly Clock _clock = new();

    [Fact]
    public async Task Nothing_is_sent_beyond_the_window_before_an_answer_comes()
    {
        var window = new SendWindow(SendWindow.Smallest, _clock);
        window.Restart(2);
        for (int i = 1; i <= SendWindow.Smallest / Record; i++)
        {
            await window.TakeAsync(i % 2, i, Record, default);
        }

        Task next = window.TakeAsync(0, 100, Record, default).AsTask();
        Assert.False(next.IsCompleted);
        window.Acknowledge(1, 1);
        await next;
        Assert.Equal(SendWindow.Smallest, window.Outstanding);
    }

    [Fact]
    public async Task A_line_with_a_long_way_gets_a_larger_window_and_a_slow_one_does_not()
    {
        Assert.Equal(4 * SendWindow.Smallest, await SizeAfterAsync(_ => 50));
        Assert.Equal(SendWindow.Smallest, await SizeAfterAsync(_ => 3));
        Assert.Equal(SendWindow.Smallest, await SizeAfterAsync(round => round < 3 ? 20 : 100));
        Assert.Equal(SendWindow.Smallest, await SizeAfterAsync(round => round < 9 ? 50 : 3));
    }

    [Fact]
    public async Task What_was_under_way_when_the_connection_broke_takes_no_room_afterwards()
    {
        var window = new SendWindow(SendWindow.Smallest, _clock);
        window.Restart(1);
        await window.TakeAsync(0, 1, 2 * SendWindow.Smallest, default);
        window.Restart(1);
        Assert.Equal(0, window.Outstanding);
        await window.TakeAsync(0, 1, Record, default);
        window.Acknowledge(0, 1);
        Assert.Equal(0, window.Outstanding);
    }

    /// <summary>Fills the window again and again, with answers after so many milliseconds.</summary>
    private async Task<long> SizeAfterAsync(Func<int, int> milliseconds)
    {
        var window = new SendWindow(4 * SendWindow.Smallest, _clock);
        window.Restart(1);
        int sent = 0;
        for (int round = 0; round < 10; round++)
        {
            Task last;
            do
            {
                last = window.TakeAsync(0, ++sent, Record, default).AsTask();
            }
            while (last.IsCompleted);
            _clock.Advance(milliseconds(round));
            window.Acknowledge(0, sent - 1);
            await last;
            _clock.Advance(milliseconds(round));
            window.Acknowledge(0, sent);
        }

        return window.Size;
    }

    private sealed class Clock : TimeProvider
    {
        private long _now = 1;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => _now;

        public void Advance(int milliseconds) => _now += milliseconds;
    }
}
