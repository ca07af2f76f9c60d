using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>One request of the device protocol, as whatever server received it.</summary>
public interface IDeviceExchange
{
    /// <summary>GET, POST, PUT or DELETE.</summary>
    string Method { get; }

    /// <summary>The path below the prefix under which the device is served, beginning with a slash, still escaped.</summary>
    string Path { get; }

    /// <summary>A parameter of the query, unescaped; null when it is missing.</summary>
    string? Query(string name);

    /// <summary>The request's body.</summary>
    Stream Body { get; }

    /// <summary>Begins the answer.</summary>
    /// <param name="status">The HTTP status.</param>
    /// <param name="errorCode">For an error, its stable code, sent as the header <see cref="DeviceProtocol.ErrorHeader"/>; otherwise null.</param>
    /// <returns>Where its body goes.</returns>
    Stream Answer(int status, string? errorCode);

    /// <summary>Set when the client went away.</summary>
    CancellationToken Aborted { get; }
}

/// <summary>
/// The server's side of the device protocol, for any HTTP/2 server: it knows nothing of connections, certificates or who may do what.
/// FORMAT.md lists the requests.
/// </summary>
public sealed class DeviceProtocol
{
    /// <summary>The header that carries an error's stable code.</summary>
    public const string ErrorHeader = "x-holdfast-error";

    /// <summary>In the place of a number of records: an error's code and its message follow, as lines.</summary>
    internal const long LaneFailed = -1;

    private const int MaxMessage = 256 * 1024 * 1024;

    private readonly StoreDevice _device;

    /// <summary>Serves a device.</summary>
    public DeviceProtocol(StoreDevice device) => _device = device;

    /// <summary>Answers one request. Errors of the store become answers; the exchange's own come out.</summary>
    public async Task HandleAsync(IDeviceExchange exchange)
    {
        try
        {
            await RouteAsync(exchange, exchange.Aborted).ConfigureAwait(false);
        }
        catch (SnapshotStoreException e)
        {
            int status = e.Code switch
            {
                "snapshot.unknown" or "transfer.unknown" or "request.unknown" => 404,
                "store.full" or "store.quota" => 507,
                "transfer.invalid" or "name.invalid" => 400,
                _ => 409,
            };
            Stream answer = exchange.Answer(status, e.Code);
            await answer.WriteAsync(Encoding.UTF8.GetBytes(e.Message), exchange.Aborted).ConfigureAwait(false);
        }
    }

    private async Task RouteAsync(IDeviceExchange exchange, CancellationToken cancel)
    {
        string[] path = [.. exchange.Path.Split('/', StringSplitOptions.RemoveEmptyEntries).Select(Uri.UnescapeDataString)];
        switch (exchange.Method, path)
        {
            case ("GET", ["v1", "objects"]):
                await ReplyAsync(exchange, new NameList { Names = { await _device.ObjectsAsync(cancel).ConfigureAwait(false) } }, cancel).ConfigureAwait(false);
                return;
            case ("GET", ["v1", "objects", var name]):
                IReadOnlyList<SnapshotInfo> list = await _device.ListAsync(name, cancel).ConfigureAwait(false);
                await ReplyAsync(exchange, new SnapshotList { Snapshots = { list.Where(s => s.Damage is null).Select(ManifestFile.ToHeader) } }, cancel).ConfigureAwait(false);
                return;
            case ("GET", ["v1", "objects", var name, var id, "digest"]):
                byte[] digest = await _device.DigestAsync(name, id, cancel).ConfigureAwait(false);
                await exchange.Answer(200, null).WriteAsync(digest, cancel).ConfigureAwait(false);
                return;
            case ("GET", ["v1", "objects", var name, var id, "difference"]):
                await using (Stream difference = await OpenAsync(exchange, name, id, cancel).ConfigureAwait(false))
                {
                    await difference.CopyToAsync(exchange.Answer(200, null), cancel).ConfigureAwait(false);
                }

                return;
            case ("GET", ["v1", "objects", var name, var id, "bytes"]):
                await ReadAsync(exchange, name, id, cancel).ConfigureAwait(false);
                return;
            case ("DELETE", ["v1", "objects", var name, var id]):
                await _device.ForgetAsync(name, id, cancel).ConfigureAwait(false);
                exchange.Answer(200, null);
                return;
            case ("POST", ["v1", "collections"]):
                await ReplyAsync(exchange, ToReply(await _device.CollectAsync(cancel).ConfigureAwait(false)), cancel).ConfigureAwait(false);
                return;
            case ("PUT" or "DELETE", ["v1", "pins"]):
                PinRequest pin = await ReceiveAsync(exchange, PinRequest.Parser, cancel).ConfigureAwait(false);
                await (exchange.Method == "PUT"
                    ? _device.PinAsync(pin.Object, pin.Id, pin.Owner, cancel)
                    : _device.UnpinAsync(pin.Object, pin.Id, pin.Owner, cancel)).ConfigureAwait(false);
                exchange.Answer(200, null);
                return;
            case ("POST", ["v1", "contents"]):
                HashList hashes = await ReceiveAsync(exchange, HashList.Parser, cancel).ConfigureAwait(false);
                IReadOnlyList<bool> has = await _device.HasAsync([.. hashes.Hashes.Select(h => h.ToByteArray())], cancel).ConfigureAwait(false);
                await ReplyAsync(exchange, new Flags { Flags_ = { has } }, cancel).ConfigureAwait(false);
                return;
            case ("POST", ["v1", "transfers"]):
                await BeginAsync(exchange, cancel).ConfigureAwait(false);
                return;
            case ("POST", ["v1", "transfers", var session, "lanes", var lane]):
                await ReceiveLaneAsync(exchange, session, Number(lane), Number(exchange.Query("first")), cancel).ConfigureAwait(false);
                return;
            case ("POST", ["v1", "transfers", var session, "finish"]):
                byte[] expected = await BodyAsync(exchange, cancel).ConfigureAwait(false);
                SnapshotInfo done = await _device.FinishAsync(session, expected, cancel).ConfigureAwait(false);
                await ReplyAsync(exchange, ManifestFile.ToHeader(done), cancel).ConfigureAwait(false);
                return;
            default:
                throw new SnapshotStoreException("request.unknown", $"{exchange.Method} {exchange.Path} is no request of the device protocol");
        }
    }

    private Task<Stream> OpenAsync(IDeviceExchange exchange, string name, string id, CancellationToken cancel)
    {
        string? from = exchange.Query("from");
        return exchange.Query("received") switch
        {
            null => _device.OpenDifferenceAsync(name, from, id, cancel),
            "" => _device.OpenRestAsync(name, from, id, null, cancel),
            var counts => _device.OpenRestAsync(name, from, id, [.. counts.Split(',').Select(c => (long)Number(c))], cancel),
        };
    }

    /// <summary>Answers with the number of records that are stored as it grows, and with an error when it is too late for a status.</summary>
    private async Task ReceiveLaneAsync(IDeviceExchange exchange, string session, int lane, int first, CancellationToken cancel)
    {
        Stream? answer = null;
        byte[] number = new byte[sizeof(long)];
        try
        {
            await _device.ReceiveAsync(session, lane, first, exchange.Body, TellAsync, cancel).ConfigureAwait(false);
        }
        catch (SnapshotStoreException e) when (answer is not null)
        {
            BinaryPrimitives.WriteInt64LittleEndian(number, LaneFailed);
            await answer.WriteAsync(number, cancel).ConfigureAwait(false);
            await answer.WriteAsync(Encoding.UTF8.GetBytes($"{e.Code}\n{e.Message}"), cancel).ConfigureAwait(false);
        }

        async ValueTask TellAsync(long stored, CancellationToken stop)
        {
            answer ??= exchange.Answer(200, null);
            BinaryPrimitives.WriteInt64LittleEndian(number, stored);
            await answer.WriteAsync(number, stop).ConfigureAwait(false);
            await answer.FlushAsync(stop).ConfigureAwait(false);
        }
    }

    private async Task BeginAsync(IDeviceExchange exchange, CancellationToken cancel)
    {
        BeginRequest begin = await ReceiveAsync(exchange, BeginRequest.Parser, cancel).ConfigureAwait(false);
        TransferStatus status = await _device.BeginAsync((begin.Head ?? new DifferenceHead()).ToByteArray(), begin.BaseDigest.Memory, cancel).ConfigureAwait(false);
        var reply = new BeginReply { Session = status.Session, Present = status.Present };
        reply.Received.Add(status.Received.Select(r => (ulong)r));
        await ReplyAsync(exchange, reply, cancel).ConfigureAwait(false);
    }

    private async Task ReadAsync(IDeviceExchange exchange, string name, string id, CancellationToken cancel)
    {
        int length = Number(exchange.Query("length"));
        if (length is < 0 or > MaxMessage || !long.TryParse(exchange.Query("offset"), NumberStyles.None, CultureInfo.InvariantCulture, out long offset))
        {
            throw new SnapshotStoreException("transfer.invalid", "offset and length are expected");
        }

        byte[] bytes = new byte[length];
        await _device.ReadAsync(name, id, exchange.Query("stream") ?? string.Empty, offset, bytes, cancel).ConfigureAwait(false);
        await exchange.Answer(200, null).WriteAsync(bytes, cancel).ConfigureAwait(false);
    }

    private static CollectionReply ToReply(CollectionReport report) => new()
    {
        Snapshots = (ulong)report.Snapshots,
        PacksRemoved = (ulong)report.PacksRemoved,
        PacksTrimmed = (ulong)report.PacksTrimmed,
        PacksBusy = (ulong)report.PacksBusy,
        LeftoversRemoved = (ulong)report.LeftoversRemoved,
        BytesFreed = (ulong)report.BytesFreed,
        Damaged = { report.Damaged.Select(d => new DamageNote { File = d.File, Position = (ulong)d.Position, What = d.What }) },
    };

    private static int Number(string? text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        ? number
        : throw new SnapshotStoreException("transfer.invalid", $"'{text}' is not a number");

    private static async Task ReplyAsync(IDeviceExchange exchange, IMessage message, CancellationToken cancel) =>
        await exchange.Answer(200, null).WriteAsync(message.ToByteArray(), cancel).ConfigureAwait(false);

    private static async Task<T> ReceiveAsync<T>(IDeviceExchange exchange, MessageParser<T> parser, CancellationToken cancel)
        where T : IMessage<T>
    {
        byte[] body = await BodyAsync(exchange, cancel).ConfigureAwait(false);
        try
        {
            return parser.ParseFrom(body);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new SnapshotStoreException("transfer.invalid", $"the body of {exchange.Method} {exchange.Path} cannot be read", e);
        }
    }

    private static async Task<byte[]> BodyAsync(IDeviceExchange exchange, CancellationToken cancel)
    {
        using var body = new MemoryStream();
        byte[] buffer = new byte[64 * 1024];
        int count;
        while ((count = await exchange.Body.ReadAsync(buffer, cancel).ConfigureAwait(false)) > 0)
        {
            body.Write(buffer, 0, count);
            if (body.Length > MaxMessage)
            {
                throw new SnapshotStoreException("transfer.invalid", $"the body of {exchange.Method} {exchange.Path} is too long");
            }
        }

        return body.ToArray();
    }
}
