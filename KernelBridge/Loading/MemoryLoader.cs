using System.Diagnostics;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Loading;

/// <summary>A process that lacks pages, as it is handed to the init.</summary>
/// <param name="Stream">Number of the process in the image.</param>
/// <param name="UserFault">Its userfaultfd.</param>
/// <param name="Ranges">Addresses that are registered, ascending; the same in the stream.</param>
/// <param name="Windows">What is to come there.</param>
internal sealed record LackingProcess(int Stream, SafeFileHandle UserFault, IReadOnlyList<(ulong Start, ulong End)> Ranges, LoadingWindows Windows);

/// <summary>
/// Feeds an init with pages from a snapshot (Spaces/loading.h): the init knows who lacks what and fills it; this only reads. Windows that somebody waits for come
/// first, the last one asked for before the others; then those behind it, and so on through all.
/// </summary>
internal sealed unsafe class MemoryLoader : IMemoryLoading
{
    private const int Slots = 32, WindowsPerStep = 64;
    private const ulong BufferSize = Slots * LoadingWindows.Size;

    private readonly InitClient init;
    private readonly IPageSource pages;
    private readonly Dictionary<uint, LoadingWindows> streams;
    private readonly LoadingWindows[] order;
    private readonly (LoadingWindows Stream, int Window)[] slots = new (LoadingWindows, int)[Slots];
    private readonly Stack<int> free = new(Enumerable.Range(0, Slots));
    private readonly Stack<(LoadingWindows Stream, int Window)> wanted = new();
    private readonly long? rate;
    private readonly long began = Stopwatch.GetTimestamp();
    private readonly byte* buffer;
    private long loaded, unasked, faults;
    private int current, cursor;
    private volatile bool hurried;
    private bool complete, disposed;

    private MemoryLoader(string socket, IReadOnlyList<LoadingWindows> windows, IPageSource pages, long? rate)
    {
        order = [.. windows];
        streams = windows.ToDictionary(stream => (uint)stream.Stream);
        this.pages = pages;
        this.rate = rate;
        Total = windows.Sum(stream => stream.Bytes);
        init = InitClient.Connect(socket);
        try
        {
            using SafeFileHandle memory = Descriptors.Own(SpaceNative.MemfdCreate("holdfast-loading", SpaceNative.MFD_CLOEXEC), "lazy.failed", "memfd_create");
            RandomAccess.SetLength(memory, (long)BufferSize);
            buffer = (byte*)Libc.mmap(0, (nuint)BufferSize, Libc.PROT_READ | Libc.PROT_WRITE, 1, Descriptors.Number(memory), 0);
            if (buffer == (byte*)-1)
            {
                throw new BridgeException("lazy.failed", "memory to load pages with", Errno.Text(Libc.LastError));
            }

            init.Feed(memory, BufferSize);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private long Total { get; }

    public LoadingProgress Progress => new(Volatile.Read(ref loaded), Total, Volatile.Read(ref faults));

    /// <summary>Hands processes over to the init. What they lack is theirs to wait for from now on.</summary>
    public static MemoryLoader Begin(string socket, IReadOnlyList<LackingProcess> processes, IPageSource pages, long? rate)
    {
        MemoryLoader loader = new(socket, [.. processes.Select(process => process.Windows)], pages, rate);
        try
        {
            // Over another connection: on the first there may be messages about those that were handed over before.
            using InitClient other = InitClient.Connect(socket);
            foreach (LackingProcess process in processes)
            {
                for (int i = 0; i < process.Ranges.Count; i++)
                {
                    ((ulong*)loader.buffer)[2 * i] = process.Ranges[i].Start;
                    ((ulong*)loader.buffer)[2 * i + 1] = process.Ranges[i].End;
                }

                other.Load(process.UserFault, process.Stream, process.Ranges.Count);
            }

            return loader;
        }
        catch
        {
            loader.Dispose();
            throw;
        }
    }

    /// <summary>Goes on where somebody else has stopped; null when nothing is missing.</summary>
    public static MemoryLoader? Continue(string socket, Func<LoadingSource> source)
    {
        using (InitClient client = InitClient.Connect(socket))
        {
            if (!client.Status().Loading)
            {
                return null;
            }
        }

        LoadingSource from = source();
        List<LoadingWindows> all =
        [
            .. ApplicationImage.Decode(from.Image.Span).Processes.Where(process => process.Memory is not null)
                .Select(process => new LoadingWindows(process.Pid, process.Stream, from.Pages.Runs(process.Stream))),
        ];
        MemoryLoader loader = new(socket, all, from.Pages, from.Rate);
        try
        {
            foreach (LoadingWindows stream in all)
            {
                loader.loaded += stream.KeepMissing(loader.AskMissing(stream));
            }

            return loader;
        }
        catch
        {
            loader.Dispose();
            throw;
        }
    }

    public void Hurry() => hurried = true;

    /// <summary>Asks for the page of an address ahead of the others.</summary>
    public void Prefer(int stream, ulong address)
    {
        if (streams.TryGetValue((uint)stream, out LoadingWindows? windows) && windows.Find(address) is >= 0 and var window)
        {
            wanted.Push((windows, window));
        }
    }

    public bool Step(TimeSpan wait)
    {
        for (int i = 0; !complete && i < WindowsPerStep; i++)
        {
            while (init.TryReceiveFeed(TimeSpan.Zero, out FeedMessage message))
            {
                Take(message);
            }

            if (order.All(stream => stream.AllBegun) && free.Count == Slots)
            {
                FinishAll();
                break;
            }

            TimeSpan pause = Pause();
            if (free.Count > 0 && Next(pause <= TimeSpan.Zero) is { } chosen)
            {
                Send(chosen.Stream, chosen.Window);
            }
            else
            {
                TimeSpan limit = free.Count > 0 && pause > TimeSpan.Zero && pause < wait ? pause : wait;
                if (!init.TryReceiveFeed(limit, out FeedMessage next))
                {
                    return false;
                }

                Take(next);
            }
        }

        return complete;
    }

    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        init.Dispose();
        if (buffer != null && buffer != (byte*)-1)
        {
            _ = Libc.munmap((nint)buffer, (nuint)BufferSize);
        }
    }

    /// <summary>How long what nobody waits for has to be put off for the limit of the rate.</summary>
    private TimeSpan Pause() => rate is { } limit && !hurried
        ? TimeSpan.FromSeconds((double)unasked / limit) - Stopwatch.GetElapsedTime(began)
        : TimeSpan.Zero;

    private (LoadingWindows Stream, int Window)? Next(bool unaskedToo)
    {
        while (wanted.TryPop(out (LoadingWindows Stream, int Window) asked))
        {
            if (asked.Stream.IsMissing(asked.Window))
            {
                current = Array.IndexOf(order, asked.Stream);
                cursor = asked.Window + 1;
                return asked;
            }
        }

        for (int i = 0; unaskedToo && i < order.Length; i++)
        {
            LoadingWindows stream = order[(current + i) % order.Length];
            if (stream.NextMissing(i == 0 ? cursor : 0) is >= 0 and var window)
            {
                (current, cursor) = ((current + i) % order.Length, window + 1);
                unasked += LoadingWindows.Size;
                return (stream, window);
            }
        }

        return null;
    }

    private void Send(LoadingWindows stream, int window)
    {
        int slot = free.Pop();
        slots[slot] = (stream, window);
        stream.Begin(window);
        (ulong from, ulong to) = stream.RangeOf(window);
        ulong at = (ulong)slot * LoadingWindows.Size;
        PageRun? last = null;
        foreach (PageRun piece in stream.PiecesOf(window))
        {
            pages.Read(stream.Name, piece.Offset, new Span<byte>(buffer + at + ((ulong)piece.Offset - from), (int)piece.Length));
            if (last is { } ready)
            {
                Place(stream, ready, at + ((ulong)ready.Offset - from), 0, 0);
            }

            last = piece;
        }

        Place(stream, last!.Value, at + ((ulong)last.Value.Offset - from), from, to);
    }

    private void Place(LoadingWindows stream, PageRun piece, ulong at, ulong from, ulong to) => init.SendFeed(new FeedMessage
    {
        Operation = FeedMessage.Place, Stream = (uint)stream.Stream, Offset = (ulong)piece.Offset, Length = (ulong)piece.Length, At = at, From = from, To = to,
    });

    private void Take(in FeedMessage message)
    {
        if (message.Error != 0)
        {
            throw new BridgeException(
                "lazy.failed", $"filling memory of process {message.Stream} at 0x{message.Offset:x}", Errno.Text(message.Error),
                message.Error == Errno.ENOMEM ? "give it more memory" : string.Empty);
        }

        if (!streams.TryGetValue(message.Stream, out LoadingWindows? stream))
        {
            throw new BridgeException("init.protocol", "loading memory", $"the init asks for process {message.Stream}");
        }

        if (message.Operation == FeedMessage.Fault)
        {
            faults++;
            int window = stream.Find(message.Offset);
            if (window >= 0)
            {
                // One that is under way comes by itself; who still lacks the page afterwards asks again.
                wanted.Push((stream, window));
                return;
            }

            ulong from = message.Offset & ~(ulong)(LoadingWindows.Size - 1);
            init.SendFeed(new FeedMessage { Operation = FeedMessage.Place, Stream = message.Stream, From = from, To = from + LoadingWindows.Size });
        }
        else if (message.Operation == FeedMessage.Place && message.Length > 0)
        {
            int slot = (int)(message.At / LoadingWindows.Size);
            (LoadingWindows sent, int window) = slots[slot];
            sent.End(window);
            Volatile.Write(ref loaded, loaded + sent.BytesOf(window));
            free.Push(slot);
        }
    }

    /// <summary>Everything is in place: what is in no window has nothing to come.</summary>
    private void FinishAll()
    {
        foreach (LoadingWindows stream in order)
        {
            init.SendFeed(new FeedMessage { Operation = FeedMessage.Place, Stream = (uint)stream.Stream, From = 0, To = long.MaxValue });
            _ = Answer(message => message.Operation == FeedMessage.Place && message.To == long.MaxValue);
        }

        complete = true;
    }

    private List<(ulong From, ulong To)> AskMissing(LoadingWindows stream)
    {
        List<(ulong From, ulong To)> missing = [];
        for (ulong at = 0; ;)
        {
            init.SendFeed(new FeedMessage { Operation = FeedMessage.Next, Stream = (uint)stream.Stream, Offset = at });
            FeedMessage answer = Answer(message => message.Operation == FeedMessage.Next);
            if (answer.To == 0)
            {
                return missing;
            }

            missing.Add((answer.From, answer.To));
            at = answer.To;
        }
    }

    private FeedMessage Answer(Predicate<FeedMessage> wantedAnswer)
    {
        while (true)
        {
            if (!init.TryReceiveFeed(InitClient.AnswerLimit, out FeedMessage message))
            {
                throw new BridgeException("init.timeout", "loading memory", "the init does not answer");
            }

            if (wantedAnswer(message) && message.Error == 0)
            {
                return message;
            }

            Take(message);
        }
    }
}
