using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Holdfast.Checkpoint.Bench;

/// <summary>A redis server with much in it, restored eagerly and lazily: how long from the command to its first answer.</summary>
internal sealed class RedisBench(HoldfastCommand holdfast, string directory, int mib) : IDisposable
{
    private const string Name = "redis";
    private const int ValueBytes = 4096;
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(3);

    private readonly string _socket = Path.Combine(directory, "redis.sock");

    /// <summary>One pair of restores, milliseconds from the start of the command to the first answer.</summary>
    internal sealed record RedisSample(double EagerMs, double LazyMs, double LoadedMs);

    public static bool IsInstalled => (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Any(at => File.Exists(Path.Combine(at, "redis-server")));

    public IReadOnlyList<RedisSample> Run(int pairs)
    {
        holdfast.Run(
            "run", "--detach", "--name", Name, "--isolate", "pid,mount,uts,ipc,time", "--", "redis-server", "--port", "0", "--unixsocket", _socket, "--save", "", "--appendonly", "no",
            "--enable-debug-command", "yes", "--dir", directory);
        int values = (int)(((long)mib << 20) / ValueBytes);
        FirstAnswer($"DEBUG POPULATE {values} key {ValueBytes}\r\n", "+OK");
        holdfast.Run("checkpoint", Name);
        List<RedisSample> samples = [];
        for (int i = 0; i < pairs; i++)
        {
            (double eager, _) = Restore(values);
            (double lazy, double loaded) = Restore(values, "--lazy");
            samples.Add(new RedisSample(eager, lazy, loaded));
        }

        return samples;
    }

    public void Dispose()
    {
        try
        {
            holdfast.Run("kill", Name);
        }
        catch (BenchException e)
        {
            Console.Error.WriteLine($"checkpoint bench: ending redis: {e.Message}");
        }
    }

    private (double AnswerMs, double LoadedMs) Restore(int values, params string[] options)
    {
        holdfast.Run("kill", Name);
        File.Delete(_socket);
        Yardstick.Warm(((long)mib << 20) * 3 / 2);
        long begun = Stopwatch.GetTimestamp();
        using Process restore = holdfast.Start(["restore", Name, "--detach", .. options]);
        // A value in the middle of what was stored, and all of it.
        FirstAnswer($"GET key:{values / 2}\r\n", string.Create(CultureInfo.InvariantCulture, $"${ValueBytes}"));
        double answered = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        restore.WaitForExit();
        holdfast.AwaitLoaded(Name);
        return (answered, Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
    }

    /// <summary>Sends a command as soon as the server listens, and waits for its answer.</summary>
    private void FirstAnswer(string command, string expected)
    {
        long begun = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(begun) < Bound)
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                socket.Connect(new UnixDomainSocketEndPoint(_socket));
                socket.Send(Encoding.ASCII.GetBytes(command));
                byte[] bytes = new byte[64];
                int count = socket.Receive(bytes);
                if (count > 0)
                {
                    string answer = Encoding.ASCII.GetString(bytes, 0, count);
                    if (!answer.StartsWith(expected, StringComparison.Ordinal))
                    {
                        throw new BenchException($"redis answers {answer.Trim()}");
                    }

                    return;
                }
            }
            catch (SocketException)
            {
                // It does not listen yet.
            }

            Thread.Sleep(1);
        }

        throw new BenchException($"redis did not answer within {Bound.TotalMinutes} minutes");
    }
}
