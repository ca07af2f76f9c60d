using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;

namespace Holdfast.Snapshots.Tests;

/// <summary>A store served over HTTP/2 with mutual TLS on a port of the loopback interface.</summary>
internal sealed class DeviceServer : IAsyncDisposable
{
    private readonly WebApplication _application;

    private DeviceServer(WebApplication application, StoreDevice device, TestCertificates certificates)
    {
        _application = application;
        Device = device;
        Certificates = certificates;
    }

    public StoreDevice Device { get; }

    public TestCertificates Certificates { get; }

    public int Port => new Uri(_application.Urls.First()).Port;

    public static async Task<DeviceServer> StartAsync(SnapshotStore store, Func<SnapshotInfo, string?>? mustStay = null)
    {
        var certificates = new TestCertificates();
        var device = new StoreDevice(store, mustStay);
        var protocol = new DeviceProtocol(device);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.Http2.InitialConnectionWindowSize = 8 * 1024 * 1024;
            kestrel.Limits.Http2.InitialStreamWindowSize = 2 * 1024 * 1024;
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                listen.UseHttps(new HttpsConnectionAdapterOptions
                {
                    ServerCertificate = certificates.Server,
                    ClientCertificateMode = ClientCertificateMode.RequireCertificate,
                    ClientCertificateValidation = (certificate, _, _) => certificates.IsSigned(certificate),
                });
            });
        });
        WebApplication application = builder.Build();
        application.Run(context => protocol.HandleAsync(new Exchange(context)));
        await application.StartAsync();
        return new DeviceServer(application, device, certificates);
    }

    public HttpDevice Connect(int? port = null) =>
        new(new Uri($"https://localhost:{port ?? Port}"), HttpDevice.Handler(Certificates.Client, Certificates.Authority));

    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync(new CancellationToken(canceled: true));
        await _application.DisposeAsync();
        await Device.DisposeAsync();
        Certificates.Dispose();
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

/// <summary>An authority, a server and a client, made for one test.</summary>
internal sealed class TestCertificates : IDisposable
{
    public TestCertificates()
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=test authority", key, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        authority.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        Authority = authority.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        Server = Make("localhost", now);
        Client = Make("client", now);
    }

    public X509Certificate2 Authority { get; }

    public X509Certificate2 Server { get; }

    public X509Certificate2 Client { get; }

    public bool IsSigned(X509Certificate2 certificate)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(Authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(certificate);
    }

    public void Dispose()
    {
        Authority.Dispose();
        Server.Dispose();
        Client.Dispose();
    }

    private X509Certificate2 Make(string name, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 signed = request.Create(Authority, now.AddHours(-1), now.AddHours(12), RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }
}
