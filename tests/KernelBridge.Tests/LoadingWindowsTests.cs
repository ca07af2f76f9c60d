using Holdfast.KernelBridge.Loading;

namespace Holdfast.KernelBridge.Tests;

public sealed class LoadingWindowsTests
{
    private static readonly PageRun[] Runs =
        [new(0x1000, 0x2000), new(0x8000, 0x1000), new(0xf000, 0x3000), new(0x50000, 0x40000), new(0x7ff0000000, 0x1000)];

    [Fact]
    public void Every_stored_byte_is_in_one_piece_of_one_window()
    {
        LoadingWindows windows = new(7, "mem/7", Runs);

        List<PageRun> pieces = [.. Enumerable.Range(0, windows.Count).SelectMany(windows.PiecesOf)];

        Assert.Equal(Runs.Sum(run => run.Length), pieces.Sum(piece => piece.Length));
        Assert.All(pieces, piece => Assert.Equal(piece.Offset >> LoadingWindows.Shift, (piece.Offset + piece.Length - 1) >> LoadingWindows.Shift));
        Assert.All(pieces.Zip(pieces.Skip(1)), pair => Assert.True(pair.First.Offset + pair.First.Length <= pair.Second.Offset));
        Assert.All(Runs, run => Assert.Equal(run.Length, pieces.Where(piece => piece.Offset >= run.Offset && piece.Offset < run.Offset + run.Length).Sum(piece => piece.Length)));
    }

    [Fact]
    public void A_window_is_found_by_any_byte_of_it_and_none_where_nothing_is_stored()
    {
        LoadingWindows windows = new(7, "mem/7", Runs);

        Assert.Equal(0, windows.Find(0));
        Assert.Equal(0, windows.Find(0xffff));
        Assert.Equal(1, windows.Find(0x10000));
        Assert.Equal(-1, windows.Find(0x20000));
        Assert.Equal(windows.Count - 1, windows.Find(0x7ff0001234));
    }

    [Fact]
    public void What_is_missing_comes_in_order_from_anywhere_on_and_once()
    {
        LoadingWindows windows = new(7, "mem/7", Runs);
        List<int> order = [];
        for (int next; (next = windows.NextMissing(3)) >= 0;)
        {
            order.Add(next);
            windows.Begin(next);
        }

        Assert.Equal(Enumerable.Range(0, windows.Count).OrderBy(window => (window + windows.Count - 3) % windows.Count), order);
        Assert.True(windows.AllBegun);
    }

    [Fact]
    public void Who_goes_on_loads_what_the_init_still_lacks()
    {
        LoadingWindows windows = new(7, "mem/7", Runs);

        long loaded = windows.KeepMissing([(0x11000, 0x12000), (0x60000, 0x70000)]);

        int[] missing = [.. Enumerable.Range(0, windows.Count).Where(windows.IsMissing)];
        Assert.Equal([windows.Find(0x11000), windows.Find(0x60000)], missing);
        Assert.Equal(Runs.Sum(run => run.Length) - missing.Sum(windows.BytesOf), loaded);
    }
}
