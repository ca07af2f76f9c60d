using System.Net;
using System.Security.Cryptography.X509Certificates;
using Holdfast.Snapshots;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Holdfast.Runtime.Node;

/// <summary>Serves a store to other nodes: HTTP/2, mutual TLS. Whoever has a certificate of the authority may read, write and remove, what is pinned or immutable excepted.</summary>
internal sealed class StoreServer : IAsyncDisposable
{
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(5);

    private readonly WebApplication _application;
    private readonly StoreDevice _device;

    private StoreServer(WebApplication application, StoreDevice device)
    {
        _application = application;
        _device = device;
    }

    /// <summary>The address, with the port that was taken.</summary>
    public string Address => _application.Urls.First();

    /// <summary>Begins to listen.</summary>
    /// <exception cref="IOException">The address is taken.</exception>
    public static async Task<StoreServer> StartAsync(SnapshotStore store, IPEndPoint listen, X509Certificate2 own, X509Certificate2 authority)
    {
        StoreDevice device = new(store, Storage.DeviceSnapshots.MustStay);
        DeviceProtocol protocol = new(device);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().UseSockets(sockets =>
        {
            // What arrives is taken out at once and where it arrives, without a look whether there is something and without handing it to another thread:
            // that took a fifth of the time of a transfer. Nothing that takes long runs there.
            sockets.WaitForDataBeforeAllocatingBuffer = false;
            sockets.UnsafePreferInlineScheduling = true;
        }).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;

            // A snapshot is as large as it is, and a slow line is no reason to give up.
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Limits.Http2.InitialConnectionWindowSize = 8 * 1024 * 1024;
            kestrel.Limits.Http2.InitialStreamWindowSize = 2 * 1024 * 1024;
            kestrel.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(15);
            kestrel.Limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(15);
            kestrel.Listen(listen, options =>
            {
                options.Protocols = HttpProtocols.Http2;
                options.UseHttps(new HttpsConnectionAdapterOptions
                {
                    ServerCertificate = own,
                    ClientCertificateMode = ClientCertificateMode.RequireCertificate,
                    ClientCertificateValidation = (certificate, _, _) => IsSigned(certificate, authority),
                });
            });
        });
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>>(new LargeBlocks());
        WebApplication application = builder.Build();
        application.Run(context => protocol.HandleAsync(new Exchange(context)));
        try
        {
            await application.StartAsync().ConfigureAwait(false);
        }
        catch
        {
            await application.DisposeAsync().ConfigureAwait(false);
            await device.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return new StoreServer(application, device);
    }

    public async ValueTask DisposeAsync()
    {
        using CancellationTokenSource limit = new(StopLimit);
        await _application.StopAsync(limit.Token).ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
        await _device.DisposeAsync().ConfigureAwait(false);
    }

    private static bool IsSigned(X509Certificate2 certificate, X509Certificate2 authority)
    {
        using X509Chain chain = new();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(certificate);
    }

    private sealed class Exchange(HttpContext context) : IDeviceExchange
    {
        public string Method => context.Request.Method;

        public string Path => context.Request.Path.ToUriComponent();

        public Stream Body => context.Request.Body;

        public CancellationToken Aborted => context.RequestAborted;

        public string? Query(string name) => context.Request.Query.TryGetValue(name, out Microsoft.Extensions.Primitives.StringValues value) ? value.ToString() : null;

        public Stream Answer(int status, string? errorCode)
        {
            context.Response.StatusCode = status;
            if (errorCode is not null)
            {
                context.Response.Headers[DeviceProtocol.ErrorHeader] = errorCode;
            }

            return context.Response.Body;
        }
    }
}
