using System.Runtime.CompilerServices;
using Holdfast.Runtime.Hosting;

namespace Holdfast.Runtime.Tests;

public sealed class IdleCollectionTests
{
    [Fact]
    public void What_a_checkpoint_left_is_collected_a_while_after_it_and_not_while_the_next_one_is_under_way()
    {
        HandTime time = new();
        using IdleCollection garbage = new(time);
        Assert.Equal(Timeout.InfiniteTimeSpan, time.Due);
        garbage.Over();
        Assert.InRange(time.Due, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(1));
        garbage.Busy();
        Assert.Equal(Timeout.InfiniteTimeSpan, time.Due);

        WeakReference left = Litter(4 << 20);
        garbage.Over();
        time.Fire!();
        Assert.False(left.IsAlive);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Litter(int bytes)
    {
        object? last = null;
        for (int made = 0; made < bytes; made += 1024)
        {
            last = new byte[1024];
        }

        return new WeakReference(last);
    }

    /// <summary>Its one timer fires when it is told to.</summary>
    private sealed class HandTime : TimeProvider
    {
        public TimeSpan Due { get; private set; }

        public Action? Fire { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Due = dueTime;
            Fire = () => callback(state);
            return new HandTimer(this);
        }

        private sealed class HandTimer(HandTime time) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period)
            {
                time.Due = dueTime;
                return true;
            }

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
