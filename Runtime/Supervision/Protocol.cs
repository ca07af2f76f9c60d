using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Protection;

namespace Holdfast.Runtime.Supervision;

/// <summary>What is asked of a supervisor over its socket: one request per connection.</summary>
/// <param name="Operation"><c>checkpoint</c>, <c>live</c>, <c>stop</c>, <c>kill</c>, <c>loading</c> or <c>policy</c>.</param>
/// <param name="EndAfterwards">For <c>checkpoint</c>.</param>
/// <param name="Milliseconds">The time-out of <c>checkpoint</c>, the grace of <c>stop</c>; null for the default.</param>
/// <param name="Policy">For <c>policy</c>.</param>
internal sealed record SupervisorRequest(string Operation, bool EndAfterwards = false, double? Milliseconds = null, PolicyOrder? Policy = null)
{
    /// <summary>For <c>checkpoint</c>: all memory is read.</summary>
    public bool Full { get; init; }

    /// <summary>For <c>checkpoint</c> with <see cref="EndAfterwards"/>: how long TCP connections are held.</summary>
    public double? KeepConnectionsMilliseconds { get; init; }
}

/// <summary>What a supervisor says: any number with <paramref name="Phase"/>, then one that has one of the others.</summary>
internal sealed record SupervisorReply(
    string? Phase = null, long Bytes = 0, CheckpointJson? Checkpoint = null, int? ExitStatus = null, ErrorJson? Error = null, int ErrorStatus = 0,
    PolicyAnswer? Policy = null, string? Live = null, LoadingJson? Loading = null);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(SupervisorRequest))]
[JsonSerializable(typeof(SupervisorReply))]
[JsonSerializable(typeof(DetachedReport))]
internal sealed partial class ProtocolJson : JsonSerializerContext;

/// <summary>Frames on a stream socket: four bytes of length, little endian, then JSON.</summary>
internal static class Frames
{
    private const int MaximumLength = 64 << 20;

    public static async Task SendAsync<T>(Socket socket, T value, JsonTypeInfo<T> type)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(value, type);
        byte[] frame = new byte[4 + json.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, json.Length);
        json.CopyTo(frame, 4);
        int sent = 0;
        while (sent < frame.Length)
        {
            sent += await socket.SendAsync(frame.AsMemory(sent)).ConfigureAwait(false);
        }
    }

    /// <summary>The next value; null at the end of the stream.</summary>
    public static async Task<T?> ReceiveAsync<T>(Socket socket, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class
    {
        byte[]? head = await ReadAsync(socket, 4, cancellation).ConfigureAwait(false);
        if (head is null)
        {
            return null;
        }

        int length = BinaryPrimitives.ReadInt32LittleEndian(head);
        if (length is <= 0 or > MaximumLength)
        {
            throw new JsonException($"a frame of {length} bytes");
        }

        byte[]? body = await ReadAsync(socket, length, cancellation).ConfigureAwait(false);
        return body is null ? null : JsonSerializer.Deserialize(body, type);
    }

    private static async Task<byte[]?> ReadAsync(Socket socket, int length, CancellationToken cancellation)
    {
        byte[] buffer = new byte[length];
        int read = 0;
        while (read < length)
        {
            int n = await socket.ReceiveAsync(buffer.AsMemory(read), cancellation).ConfigureAwait(false);
            if (n == 0)
            {
                return null;
            }

            read += n;
        }

        return buffer;
    }
}
