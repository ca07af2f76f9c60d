using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Xml.Linq;
using Amazon.Runtime;
using Amazon.S3;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Holdfast.Snapshots.Tests;

/// <summary>As much of the S3 protocol as the container uses, in memory: put, get, list, uploads in parts.</summary>
internal sealed class S3Server : IAsyncDisposable
{
    private readonly WebApplication _application;
    private readonly ConcurrentDictionary<string, SortedDictionary<int, byte[]>> _uploads = new();

    private S3Server()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k =>
        {
            k.Limits.MaxRequestBodySize = null;
            k.Listen(IPAddress.Loopback, 0);
        });
        _application = builder.Build();
        _application.Run(HandleAsync);
    }

    public ConcurrentDictionary<string, byte[]> Objects { get; } = new(StringComparer.Ordinal);

    /// <summary>When objects were stored, by a clock that is ten minutes ahead.</summary>
    public ConcurrentDictionary<string, DateTime> Modified { get; } = new(StringComparer.Ordinal);

    /// <summary>Told of each request: its method and the key, or what is listed.</summary>
    public Action<string, string>? Asked { get; set; }

    public DateTime Now => DateTime.UtcNow + TimeSpan.FromMinutes(10);

    private DateTime ModifiedOf(string key) => Modified.GetOrAdd(key, _ => Now);

    public string Address => _application.Urls.First();

    public static async Task<S3Server> StartAsync()
    {
        var server = new S3Server();
        await server._application.StartAsync();
        return server;
    }

    public S3Container Connect(string prefix) => new(
        new AmazonS3Client(
            new BasicAWSCredentials("key", "secret"),
            new AmazonS3Config
            {
                ServiceURL = Address,
                ForcePathStyle = true,
                AuthenticationRegion = "us-east-1",
                RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
                ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
            }),
        "bucket",
        prefix);

    public async ValueTask DisposeAsync() => await _application.DisposeAsync();

    private async Task HandleAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        string key = Uri.UnescapeDataString(request.Path.Value!)["/bucket".Length..].TrimStart('/');
        Asked?.Invoke(request.Method, key.Length == 0 ? request.Query["prefix"].ToString() : key);
        switch (request.Method)
        {
            case "DELETE":
                Objects.TryRemove(key, out _);
                Modified.TryRemove(key, out _);
                context.Response.StatusCode = 204;
                return;
            case "GET" when key.Length == 0:
                string prefix = request.Query["prefix"].ToString();
                await XmlAsync(context, new XElement("ListBucketResult", new XElement("IsTruncated", "false"), Objects.Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal)).OrderBy(o => o.Key, StringComparer.Ordinal)
                    .Select(o => new XElement("Contents", new XElement("Key", o.Key), new XElement("Size", o.Value.Length), new XElement("LastModified", ModifiedOf(o.Key).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture))))));
                return;
            case "GET" when Objects.TryGetValue(key, out byte[]? found):
                context.Response.ContentLength = found.Length;
                await context.Response.Body.WriteAsync(found);
                return;
            case "GET":
                context.Response.StatusCode = 404;
                await XmlAsync(context, new XElement("Error", new XElement("Code", "NoSuchKey")));
                return;
            case "POST" when request.Query.ContainsKey("uploads"):
                string id = Guid.NewGuid().ToString("N");
                _uploads[id] = [];
                await XmlAsync(context, new XElement("InitiateMultipartUploadResult", new XElement("UploadId", id)));
                return;
            case "POST":
                Objects[key] = [.. _uploads[request.Query["uploadId"].ToString()].Values.SelectMany(p => p)];
                await XmlAsync(context, new XElement("CompleteMultipartUploadResult", new XElement("ETag", "\"x\"")));
                return;
            case "PUT":
                byte[] body = await BodyAsync(request);
                if (request.Query.TryGetValue("uploadId", out Microsoft.Extensions.Primitives.StringValues upload))
                {
                    _uploads[upload.ToString()][int.Parse(request.Query["partNumber"].ToString(), System.Globalization.CultureInfo.InvariantCulture)] = body;
                }
                else
                {
                    Objects[key] = body;
                    Modified[key] = Now;
                }

                context.Response.Headers.ETag = "\"x\"";
                return;
            default:
                context.Response.StatusCode = 400;
                return;
        }
    }

    /// <summary>The body, out of its signed chunks when it came in such.</summary>
    private static async Task<byte[]> BodyAsync(HttpRequest request)
    {
        using var all = new MemoryStream();
        await request.Body.CopyToAsync(all);
        byte[] body = all.ToArray();
        if (!request.Headers.TryGetValue("x-amz-decoded-content-length", out _))
        {
            return body;
        }

        using var decoded = new MemoryStream();
        for (int at = 0; ;)
        {
            int line = body.AsSpan(at).IndexOf("\r\n"u8);
            string size = Encoding.ASCII.GetString(body, at, line).Split(';')[0];
            int length = Convert.ToInt32(size, 16);
            if (length == 0)
            {
                return decoded.ToArray();
            }

            decoded.Write(body, at + line + 2, length);
            at += line + 2 + length + 2;
        }
    }

    private static async Task XmlAsync(HttpContext context, XElement content)
    {
        context.Response.ContentType = "application/xml";
        XNamespace space = "http://s3.amazonaws.com/doc/2006-03-01/";
        foreach (XElement element in content.DescendantsAndSelf().ToList())
        {
            element.Name = space + element.Name.LocalName;
        }

        await context.Response.WriteAsync(content.ToString());
    }
}
