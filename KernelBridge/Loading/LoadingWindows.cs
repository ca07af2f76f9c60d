namespace Holdfast.KernelBridge.Loading;

/// <summary>What of one stream is loaded: in windows of 64 KiB, of which only those count in which something is stored.</summary>
internal sealed class LoadingWindows
{
    public const int Shift = 16, Size = 1 << Shift;

    private readonly List<long> windows;
    private readonly List<int> firstRuns;
    private readonly IReadOnlyList<PageRun> runs;
    private readonly State[] states;
    private int todo;

    private enum State : byte
    {
        Missing,
        UnderWay,
        Loaded,
    }

    /// <summary>Makes one in which all is missing.</summary>
    /// <param name="stream">Number of the process of the image.</param>
    /// <param name="name">The stream's name.</param>
    /// <param name="runs">What of it is to come, ascending.</param>
    public LoadingWindows(int stream, string name, IReadOnlyList<PageRun> runs)
    {
        Stream = stream;
        Name = name;
        this.runs = runs;
        Bytes = runs.Sum(run => run.Length);
        int most = runs.Sum(run => (int)(run.Length >> Shift) + 2);
        windows = new List<long>(most);
        firstRuns = new List<int>(most);
        for (int i = 0; i < runs.Count; i++)
        {
            for (long window = runs[i].Offset >> Shift; window <= (runs[i].Offset + runs[i].Length - 1) >> Shift; window++)
            {
                if (windows.Count == 0 || windows[^1] != window)
                {
                    windows.Add(window);
                    firstRuns.Add(i);
                }
            }
        }

        states = new State[windows.Count];
        todo = windows.Count;
    }

    public int Stream { get; }

    public string Name { get; }

    public int Count => windows.Count;

    /// <summary>Bytes that are stored.</summary>
    public long Bytes { get; }

    /// <summary>Whether every window is under way or loaded.</summary>
    public bool AllBegun => todo == 0;

    /// <summary>The window that holds an offset; -1 when nothing is stored there.</summary>
    public int Find(ulong offset) => windows.BinarySearch((long)(offset >> Shift)) is >= 0 and var found ? found : -1;

    public bool IsMissing(int window) => states[window] == State.Missing;

    /// <summary>The first window from one on that is missing, beginning again at the first; -1 when none is.</summary>
    public int NextMissing(int from)
    {
        for (int i = 0; todo > 0 && i < Count; i++)
        {
            int window = (from + i) % Count;
            if (IsMissing(window))
            {
                return window;
            }
        }

        return -1;
    }

    public void Begin(int window)
    {
        states[window] = State.UnderWay;
        todo--;
    }

    public void End(int window) => states[window] = State.Loaded;

    /// <summary>Where a window begins and ends in the stream.</summary>
    public (ulong From, ulong To) RangeOf(int window) => ((ulong)windows[window] << Shift, (ulong)(windows[window] + 1) << Shift);

    /// <summary>What is stored in a window.</summary>
    public IEnumerable<PageRun> PiecesOf(int window)
    {
        long from = windows[window] << Shift;
        for (int i = firstRuns[window]; i < runs.Count && runs[i].Offset < from + Size; i++)
        {
            long start = Math.Max(from, runs[i].Offset), end = Math.Min(from + Size, runs[i].Offset + runs[i].Length);
            if (start < end)
            {
                yield return new PageRun(start, end - start);
            }
        }
    }

    /// <summary>Bytes that are stored in a window.</summary>
    public long BytesOf(int window) => PiecesOf(window).Sum(piece => piece.Length);

    /// <summary>All but what lies in these parts of the stream is loaded.</summary>
    /// <param name="missing">Ascending, from one byte up to another.</param>
    /// <returns>Bytes that are loaded.</returns>
    public long KeepMissing(IReadOnlyList<(ulong From, ulong To)> missing)
    {
        long loaded = 0;
        int at = 0;
        for (int window = 0; window < Count; window++)
        {
            (ulong from, ulong to) = RangeOf(window);
            while (at < missing.Count && missing[at].To <= from)
            {
                at++;
            }

            if (IsMissing(window) && (at == missing.Count || missing[at].From >= to))
            {
                Begin(window);
                End(window);
                loaded += BytesOf(window);
            }
        }

        return loaded;
    }
}
