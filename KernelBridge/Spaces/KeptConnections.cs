using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// TCP sockets of an application that is ended with its snapshot: a small process (<c>keep.c</c>) holds them, so that nobody at their other ends learns of it,
/// and a restore of that snapshot goes on with the very same. That is right only if the application does not run after the capture.
/// </summary>
public sealed unsafe class KeptConnections : IDisposable
{
    /// <summary>What one process holds at most.</summary>
    private const int Maximum = 16384;

    private const string Code = "connections.keep", Keeper = "the process that holds the connections";

    private const int ListenerNumber = 3, SourceNumber = 4, WordSize = 16;
    private const ulong SocketWord = 1, EndWord = 2, TakeWord = 3, DoneWord = 4, DropWord = 5;

    private static readonly byte[] code = FlatProgram.Load("keep.bin");

    private readonly SafeFileHandle channel;
    private readonly Dictionary<long, SocketCopy> sockets = [];

    private KeptConnections(SafeFileHandle channel)
    {
        this.channel = channel;
    }

    /// <summary>How many sockets there are.</summary>
    public int Count { get; private set; }

    /// <summary>By the number that the image gives each.</summary>
    internal IReadOnlyDictionary<long, SocketCopy> Sockets => sockets;

    /// <summary>
    /// Takes the listening sockets, and the connections with others, of an application that stands. They are let go again unless <see cref="Confirm"/> follows,
    /// which is to be called when the application is gone.
    /// </summary>
    /// <param name="path">Of a socket at which they can be had; its directory is the owner's only.</param>
    /// <param name="image">The application's image.</param>
    /// <param name="pids">Host pids of its processes.</param>
    /// <param name="time">How long they are held, from a second on.</param>
    /// <exception cref="BridgeException">They cannot be held; the application is as it was.</exception>
    public static KeptConnections Keep(string path, ApplicationImage image, IReadOnlyList<int> pids, TimeSpan time)
    {
        int* pair = stackalloc int[2];
        if (SocketCalls.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        {
            throw Descriptors.Failure(Code, "a pair of sockets", Marshal.GetLastPInvokeError());
        }

        KeptConnections kept = new(new SafeFileHandle(pair[0], ownsHandle: true));
        try
        {
            using (SafeFileHandle theirs = new(pair[1], ownsHandle: true))
            using (SafeFileHandle listener = InitSocket.Listen(path))
            using (SafeFileHandle program = Descriptors.Memory("holdfast-keep", FlatProgram.Executable(code, InitProgram.DefaultBase), executable: true))
            {
                int? status = ChildProcess.Reap(SpawnedProgram.Start(
                    program, [(Descriptors.Number(listener), ListenerNumber), (Descriptors.Number(theirs), SourceNumber)],
                    Path.GetFullPath(path), ((long)Math.Ceiling(time.TotalSeconds)).ToString(CultureInfo.InvariantCulture)));
                if (status != 0)
                {
                    throw new BridgeException(Code, "the process that is to hold the connections", $"it ended with {status}");
                }
            }

            foreach ((long id, SocketCopy socket) in Of(image, pids))
            {
                using (socket)
                {
                    kept.Send(SocketWord, id, socket.Fd);
                    kept.Count++;
                }
            }

            kept.Send(EndWord, 0);
            (ulong what, long count, _) = kept.Receive();
            return what == EndWord && count == kept.Count
                ? kept
                : throw new BridgeException(Code, "the process that is to hold the connections", $"it has {count} of {kept.Count}");
        }
        catch
        {
            kept.Dispose();
            throw;
        }
    }

    /// <summary>The application is gone: from now on they are held until they are taken, or the time is over.</summary>
    public void Confirm() => Send(DoneWord, 0);

    /// <summary>Asks for what is held at a path, for a restore.</summary>
    /// <returns>Copies; null when nothing is held there, or no longer. Disposing them leaves all as it was.</returns>
    public static KeptConnections? TryTake(string path)
    {
        KeptConnections? kept = TryConnect(path);
        if (kept is null)
        {
            return null;
        }

        try
        {
            kept.Send(TakeWord, 0);
            while (kept.Receive() is { What: SocketWord, Descriptor: >= 0 and var fd } word)
            {
                kept.sockets[word.Number] = SocketCopy.Own(fd);
            }

            kept.Count = kept.sockets.Count;
            return kept;
        }
        catch
        {
            kept.Dispose();
            throw;
        }
    }

    /// <summary>Lets go of what is held at a path: the other ends learn that the application is gone. Does nothing when nothing is.</summary>
    public static void Drop(string path)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using KeptConnections? kept = TryConnect(path);
        if (kept is null)
        {
            File.Delete(path);
            return;
        }

        kept.Send(DropWord, 0);
        _ = kept.Receive();
    }

    /// <summary>The restored application has them: nobody else is to.</summary>
    public void Taken()
    {
        Send(DoneWord, 0);
        _ = Receive();
    }

    /// <summary>Closes our copies, and the line: what was not confirmed, or taken, is as if nobody had asked.</summary>
    public void Dispose()
    {
        foreach (SocketCopy socket in sockets.Values)
        {
            socket.Dispose();
        }

        channel.Dispose();
    }

    private static KeptConnections? TryConnect(string path)
    {
        try
        {
            return new KeptConnections(InitSocket.Connect(path, TimeSpan.FromSeconds(10)));
        }
        catch (BridgeException)
        {
            return null;
        }
    }

    /// <summary>One descriptor of ours for each socket that can be held.</summary>
    private static IEnumerable<(long Id, SocketCopy Socket)> Of(ApplicationImage image, IReadOnlyList<int> pids)
    {
        // Its first process is in the application's pid namespace; others may be in namespaces inside that.
        List<(int Pid, int[] Numbers)> numbers = [.. pids.Select(pid => (pid, ProcessStatus.Read(pid).Numbers("NSpid")))];
        int level = numbers.Count == 0 ? 0 : numbers.Min(process => process.Numbers.Length) - 1;
        Dictionary<int, int> hosts = numbers.ToDictionary(process => image.Scope == ApplicationScope.Space ? process.Numbers[level] : process.Pid, process => process.Pid);
        Dictionary<int, (int Pid, int Number)> holders = [];
        foreach (ProcessImage process in image.Processes.Where(process => hosts.ContainsKey(process.Pid)))
        {
            foreach (DescriptorImage descriptor in process.Descriptors)
            {
                holders.TryAdd(descriptor.File, (hosts[process.Pid], descriptor.Number));
            }
        }

        int count = 0;
        for (int i = 0; i < image.OpenFiles.Count; i++)
        {
            if (image.OpenFiles[i] is SocketImage { IsTcp: true } socket && TcpSockets.CanBeKept(socket) && holders.TryGetValue(i, out (int Pid, int Number) holder)
                && SocketCopy.TryTake(holder.Pid, holder.Number) is { } copy)
            {
                if (!TcpSockets.IsAlive(copy))
                {
                    copy.Dispose();
                    continue;
                }

                if (++count > Maximum)
                {
                    copy.Dispose();
                    throw new BridgeException(Code, "connections", $"there are more than {Maximum}", "end the application without keeping them");
                }

                yield return (socket.Id, copy);
            }
        }
    }

    private void Send(ulong what, long number, int descriptor = -1)
    {
        ReadOnlySpan<ulong> word = [(ulong)number, what];
        if (PacketSocket.Send(channel, MemoryMarshal.AsBytes(word), descriptor) is var error and not 0)
        {
            throw Descriptors.Failure(Code, Keeper, error);
        }
    }

    private (ulong What, long Number, int Descriptor) Receive()
    {
        Span<ulong> word = stackalloc ulong[2];
        (int length, _, int descriptor) = PacketSocket.Receive(channel, MemoryMarshal.AsBytes(word), out int error);
        return error != 0 ? throw Descriptors.Failure(Code, Keeper, error)
            : length == WordSize ? (word[1], (long)word[0], descriptor)
            : throw new BridgeException(Code, Keeper, "it is gone");
    }
}
