using System.Runtime;
using Holdfast.Actors.Checkpoint;

namespace Holdfast.Actors.Tests;

public sealed class CollectionPauseTests
{
    [Fact]
    public void Garbage_waits_while_processes_stand_and_for_one_checkpoint_at_a_time()
    {
        foreach (int processes in new[] { 1, 16, 1000 })
        {
            // Another test of this process may have one, for as long as its checkpoint takes.
            CollectionPause? pause = null;
            FakeBridge bridge = new();
            Assert.True(SpinWait.SpinUntil(() => (pause = CollectionPause.Begin(bridge, processes)) is not null, TimeSpan.FromSeconds(30)));
            Assert.Equal(GCLatencyMode.NoGCRegion, GCSettings.LatencyMode);
            Assert.InRange(bridge.Present, Math.Min(processes, 100) * 4096, 64 << 20);
            Assert.Null(CollectionPause.Begin(bridge, processes));
            pause!.Dispose();
            Assert.NotEqual(GCLatencyMode.NoGCRegion, GCSettings.LatencyMode);
            pause.Dispose();
        }
    }

    [Fact]
    public void More_garbage_than_there_is_room_for_is_collected_all_the_same()
    {
        CollectionPause? pause = null;
        Assert.True(SpinWait.SpinUntil(() => (pause = CollectionPause.Begin(new FakeBridge(), 1000)) is not null, TimeSpan.FromSeconds(30)));
        int before = GC.CollectionCount(0);
        for (int i = 0; i < 4096 && GC.CollectionCount(0) == before; i++)
        {
            GC.KeepAlive(new byte[65_536]);
        }

        Assert.NotEqual(before, GC.CollectionCount(0));
        pause!.Dispose();
    }
}
