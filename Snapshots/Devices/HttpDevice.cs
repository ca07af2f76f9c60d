using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Another node's store over HTTP/2. Several requests share one connection.</summary>
public sealed class HttpDevice : IStorageDevice
{
    private readonly HttpClient _client;

    /// <summary>Makes one.</summary>
    /// <param name="address">Where the device is served, such as <c>https://node2:7420/device</c>.</param>
    /// <param name="handler">Makes connections, with their certificates; see <see cref="Handler"/>. Disposed with the device.</param>
    public HttpDevice(Uri address, HttpMessageHandler handler)
    {
        Name = address.ToString().TrimEnd('/');
        _client = new HttpClient(handler)
        {
            BaseAddress = new Uri(Name + "/"),
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Connections with mutual TLS: the server must show a certificate of the given authority, and gets ours.</summary>
    /// <param name="certificate">Our certificate with its key.</param>
    /// <param name="authority">Who signs the servers' certificates.</param>
    public static SocketsHttpHandler Handler(X509Certificate2 certificate, X509Certificate2 authority) => new()
    {
        EnableMultipleHttp2Connections = false,
        AutomaticDecompression = DecompressionMethods.None,
        KeepAlivePingDelay = TimeSpan.FromSeconds(15),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(15),
        InitialHttp2StreamWindowSize = 4 * 1024 * 1024,
        ConnectCallback = ConnectAsync,
        SslOptions = new SslClientAuthenticationOptions
        {
            ClientCertificates = [certificate],
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { authority },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        },
    };

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancel)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancel).ConfigureAwait(false);
            return new GatheringStream(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel) =>
        [.. (await GetAsync("v1/objects", NameList.Parser, cancel).ConfigureAwait(false)).Names];

    /// <inheritdoc/>
    public async Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel) =>
        [.. (await GetAsync($"v1/objects/{Escape(objectName)}", SnapshotList.Parser, cancel).ConfigureAwait(false)).Snapshots.Select(ManifestFile.ToInfo)];

    /// <inheritdoc/>
    public async Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Get, $"v1/objects/{Escape(objectName)}/{id}/digest", null, cancel).ConfigureAwait(false);
        return await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel)
    {
        var request = new BeginRequest { Head = DifferenceHead.Parser.ParseFrom(head.Span), BaseDigest = ByteString.CopyFrom(baseDigest.Span) };
        BeginReply reply = await PostAsync("v1/transfers", request.ToByteArray(), BeginReply.Parser, cancel).ConfigureAwait(false);
        return new TransferStatus(reply.Session, reply.Present, [.. reply.Received.Select(r => (long)r)]);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel)
    {
        var request = new HashList();
        request.Hashes.Add(hashes.Select(h => ByteString.CopyFrom(h)));
        return [.. (await PostAsync("v1/contents", request.ToByteArray(), Flags.Parser, cancel).ConfigureAwait(false)).Flags_];
    }

    /// <inheritdoc/>
    public async Task SendAsync(string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using var content = new WrittenContent(write, stop.Token);
        try
        {
            // The answer begins while the records are still being written, and says how many are stored.
            using HttpResponseMessage answer = await AskAsync(
                HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"v1/transfers/{Escape(session)}/lanes/{lane}?first={first}"), content, stop.Token).ConfigureAwait(false);
            using Stream counts = await answer.Content.ReadAsStreamAsync(stop.Token).ConfigureAwait(false);
            await ReadCountsAsync(counts, stored, stop.Token).ConfigureAwait(false);
            await content.Written.ConfigureAwait(false);
        }
        catch (Exception e) when (content.Failure is SnapshotStoreException own && e != own)
        {
            // What went wrong here is not the connection's fault, which only shows it.
            throw own;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await content.Written.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <inheritdoc/>
    public async Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel) =>
        ManifestFile.ToInfo(await PostAsync($"v1/transfers/{Escape(session)}/finish", digest.ToArray(), SnapshotHeader.Parser, cancel).ConfigureAwait(false));

    /// <inheritdoc/>
    public Task PinAsync(string objectName, string id, string owner, CancellationToken cancel) => PinAsync(HttpMethod.Put, objectName, id, owner, cancel);

    /// <inheritdoc/>
    public Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel) => PinAsync(HttpMethod.Delete, objectName, id, owner, cancel);

    /// <inheritdoc/>
    public async Task ForgetAsync(string objectName, string id, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Delete, $"v1/objects/{Escape(objectName)}/{id}", null, cancel).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task<CollectionReport> CollectAsync(CancellationToken cancel)
    {
        CollectionReply reply = await PostAsync("v1/collections", [], CollectionReply.Parser, cancel).ConfigureAwait(false);
        return new CollectionReport
        {
            Snapshots = (int)reply.Snapshots,
            PacksRemoved = (int)reply.PacksRemoved,
            PacksTrimmed = (int)reply.PacksTrimmed,
            PacksBusy = (int)reply.PacksBusy,
            LeftoversRemoved = (int)reply.LeftoversRemoved,
            BytesFreed = (long)reply.BytesFreed,
            Damaged = [.. reply.Damaged.Select(d => new SnapshotDamagedException(d.File, (long)d.Position, d.What))],
        };
    }

    /// <inheritdoc/>
    public Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel) =>
        OpenAsync(objectName, to, from is null ? string.Empty : $"?from={from}", cancel);

    /// <inheritdoc/>
    public Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel) => OpenAsync(
        objectName,
        to,
        $"?{(from is null ? string.Empty : $"from={from}&")}received={string.Join(',', (received ?? []).Select(r => r.ToString(CultureInfo.InvariantCulture)))}",
        cancel);

    private async Task<Stream> OpenAsync(string objectName, string to, string query, CancellationToken cancel)
    {
        HttpResponseMessage answer = await AskAsync(HttpMethod.Get, $"v1/objects/{Escape(objectName)}/{to}/difference{query}", null, cancel).ConfigureAwait(false);
        return await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel)
    {
        using HttpResponseMessage answer = await AskAsync(
            HttpMethod.Get,
            string.Create(CultureInfo.InvariantCulture, $"v1/objects/{Escape(objectName)}/{id}/bytes?stream={Escape(stream)}&offset={offset}&length={into.Length}"),
            null,
            cancel).ConfigureAwait(false);
        using Stream body = await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        await body.ReadExactlyAsync(into, cancel).ConfigureAwait(false);
    }

    /// <summary>Closes the connection.</summary>
    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string Escape(string text) => Uri.EscapeDataString(text);

    private async Task PinAsync(HttpMethod method, string objectName, string id, string owner, CancellationToken cancel)
    {
        using var body = new ByteArrayContent(new PinRequest { Object = objectName, Id = id, Owner = owner }.ToByteArray());
        using HttpResponseMessage answer = await AskAsync(method, "v1/pins", body, cancel).ConfigureAwait(false);
    }

    private async Task<T> GetAsync<T>(string path, MessageParser<T> parser, CancellationToken cancel)
        where T : IMessage<T>
    {
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Get, path, null, cancel).ConfigureAwait(false);
        return parser.ParseFrom(await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false));
    }

    private async Task<T> PostAsync<T>(string path, byte[] body, MessageParser<T> parser, CancellationToken cancel)
        where T : IMessage<T>
    {
        using var content = new ByteArrayContent(body);
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Post, path, content, cancel).ConfigureAwait(false);
        return parser.ParseFrom(await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false));
    }

    private async Task<HttpResponseMessage> AskAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, path)
        {
            Content = content,
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        HttpResponseMessage answer;
        try
        {
            answer = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        }
        catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.SecureConnectionError)
        {
            throw new SnapshotStoreException("device.certificate", $"{Name}: no secure connection: {(e.InnerException ?? e).Message}", e);
        }
        catch (HttpRequestException e)
        {
            throw new SnapshotStoreException("device.unreachable", $"{Name} cannot be reached: {(e.InnerException ?? e).Message}", e);
        }

        if (answer.IsSuccessStatusCode)
        {
            return answer;
        }

        using (answer)
        {
            string message = await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false);
            throw answer.Headers.TryGetValues(DeviceProtocol.ErrorHeader, out IEnumerable<string>? codes)
                ? new SnapshotStoreException(codes.First(), $"{Name}: {message}")
                : new SnapshotStoreException("device.answer", $"{Name} answered {(int)answer.StatusCode}; is it a node of Holdfast?");
        }
    }

    private async Task ReadCountsAsync(Stream counts, Action<long> stored, CancellationToken cancel)
    {
        byte[] number = new byte[sizeof(long)];
        int got;
        while ((got = await counts.ReadAtLeastAsync(number, number.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false)) == number.Length)
        {
            long count = BinaryPrimitives.ReadInt64LittleEndian(number);
            if (count == DeviceProtocol.LaneFailed)
            {
                using var text = new StreamReader(counts);
                string[] error = (await text.ReadToEndAsync(cancel).ConfigureAwait(false)).Split('\n', 2);
                throw new SnapshotStoreException(error[0], $"{Name}: {error[^1]}");
            }

            stored(count);
        }

        if (got != 0)
        {
            throw new SnapshotStoreException("device.unreachable", $"the answer of {Name} ends inside a number");
        }
    }

    /// <summary>A body that is written as it is made, at the pace of the connection.</summary>
    private sealed class WrittenContent(Func<Stream, CancellationToken, Task> write, CancellationToken cancel) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, cancel);

        /// <summary>The writing; done when it did not begin.</summary>
        internal Task Written { get; private set; } = Task.CompletedTask;

        /// <summary>What ended the writing; null when nothing did.</summary>
        internal Exception? Failure { get; private set; }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
            Written = WriteAsync(stream, cancellationToken);

        private async Task WriteAsync(Stream stream, CancellationToken cancellationToken)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, cancellationToken);
            try
            {
                await write(stream, either.Token).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                Failure = e;
                throw;
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
