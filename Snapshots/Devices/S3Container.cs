using System.Net;
using System.Runtime.CompilerServices;
using Amazon.S3;
using Amazon.S3.Model;

namespace Holdfast.Snapshots;

/// <summary>A bucket of an S3-compatible service.</summary>
public sealed class S3Container : IBlobContainer
{
    /// <summary>Parts of large files: S3 takes 5 MiB to 5 GiB, 10,000 of them.</summary>
    private const long PartSize = 64 * 1024 * 1024;

    private readonly IAmazonS3 _client;
    private readonly string _bucket;
    private readonly string _prefix;

    /// <summary>Makes one.</summary>
    /// <param name="client">The client with its address and credentials; disposed with this.</param>
    /// <param name="bucket">An existing bucket.</param>
    /// <param name="prefix">What all keys begin with; may be empty.</param>
    public S3Container(IAmazonS3 client, string bucket, string prefix = "")
    {
        _client = client;
        _bucket = bucket;
        _prefix = prefix;
        Name = $"s3://{bucket}/{prefix}";
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Opens a bucket with what the usual AWS variables and files say: credentials, region, profile.</summary>
    /// <param name="bucket">An existing bucket.</param>
    /// <param name="prefix">What all keys begin with; may be empty.</param>
    /// <param name="endpoint">The service's address when it is not AWS itself; null: what AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL say, if anything.</param>
    /// <exception cref="SnapshotStoreException">The endpoint is no address (<c>device.invalid</c>).</exception>
    public static S3Container Open(string bucket, string prefix, string? endpoint)
    {
        endpoint ??= Setting("AWS_ENDPOINT_URL_S3") ?? Setting("AWS_ENDPOINT_URL");
        var config = new AmazonS3Config { AuthenticationRegion = Setting("AWS_REGION") ?? Setting("AWS_DEFAULT_REGION") ?? "us-east-1" };
        if (endpoint is null)
        {
            config.RegionEndpoint = Amazon.RegionEndpoint.GetBySystemName(config.AuthenticationRegion);
        }
        else if (Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https")
        {
            // Services other than AWS's want the bucket in the path, and know the older checksums only.
            config.ServiceURL = endpoint;
            config.ForcePathStyle = true;
            config.RequestChecksumCalculation = Amazon.Runtime.RequestChecksumCalculation.WHEN_REQUIRED;
            config.ResponseChecksumValidation = Amazon.Runtime.ResponseChecksumValidation.WHEN_REQUIRED;
        }
        else
        {
            throw new SnapshotStoreException("device.invalid", $"the endpoint '{endpoint}' is no http or https address");
        }

        return new S3Container(new AmazonS3Client(config), bucket, prefix);
    }

    private static string? Setting(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    /// <inheritdoc/>
    public async IAsyncEnumerable<Blob> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken cancel)
    {
        var request = new ListObjectsV2Request { BucketName = _bucket, Prefix = _prefix + prefix };
        while (true)
        {
            ListObjectsV2Response answer = await GuardAsync(() => _client.ListObjectsV2Async(request, cancel)).ConfigureAwait(false);
            foreach (S3Object found in answer.S3Objects ?? [])
            {
                yield return new Blob(found.Key[_prefix.Length..], found.Size ?? 0, found.LastModified is { } modified ? new DateTimeOffset(modified.ToUniversalTime()) : default);
            }

            if (answer.IsTruncated != true)
            {
                yield break;
            }

            request.ContinuationToken = answer.NextContinuationToken;
        }
    }

    /// <inheritdoc/>
    public async Task PutAsync(string key, string file, CancellationToken cancel)
    {
        long size = new FileInfo(file).Length;
        if (size <= PartSize)
        {
            await GuardAsync(() => _client.PutObjectAsync(new PutObjectRequest { BucketName = _bucket, Key = _prefix + key, FilePath = file }, cancel)).ConfigureAwait(false);
            return;
        }

        InitiateMultipartUploadResponse upload = await GuardAsync(
            () => _client.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = _bucket, Key = _prefix + key }, cancel)).ConfigureAwait(false);
        try
        {
            var parts = new List<PartETag>();
            for (long at = 0; at < size; at += PartSize)
            {
                UploadPartResponse part = await GuardAsync(() => _client.UploadPartAsync(
                    new UploadPartRequest
                    {
                        BucketName = _bucket,
                        Key = _prefix + key,
                        UploadId = upload.UploadId,
                        PartNumber = parts.Count + 1,
                        FilePath = file,
                        FilePosition = at,
                        PartSize = Math.Min(PartSize, size - at),
                    },
                    cancel)).ConfigureAwait(false);
                parts.Add(new PartETag(parts.Count + 1, part.ETag));
            }

            await GuardAsync(() => _client.CompleteMultipartUploadAsync(
                new CompleteMultipartUploadRequest { BucketName = _bucket, Key = _prefix + key, UploadId = upload.UploadId, PartETags = parts }, cancel)).ConfigureAwait(false);
        }
        catch
        {
            await _client.AbortMultipartUploadAsync(_bucket, _prefix + key, upload.UploadId, CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<bool> TryGetAsync(string key, string file, CancellationToken cancel)
    {
        try
        {
            using GetObjectResponse answer = await _client.GetObjectAsync(_bucket, _prefix + key, cancel).ConfigureAwait(false);
            await using FileStream into = new(file, FileMode.CreateNew);
            await answer.ResponseStream.CopyToAsync(into, cancel).ConfigureAwait(false);
            return true;
        }
        catch (AmazonS3Exception e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return false;
        }
        catch (Exception e) when (e is Amazon.Runtime.AmazonClientException or HttpRequestException or WebException)
        {
            throw Unreachable(e);
        }
    }

    /// <inheritdoc/>
    public Task DeleteAsync(string key, CancellationToken cancel) =>
        GuardAsync(() => _client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = _bucket, Key = _prefix + key }, cancel));

    private async Task<T> GuardAsync<T>(Func<Task<T>> action)
    {
        try
        {
            return await action().ConfigureAwait(false);
        }
        catch (Exception e) when (e is Amazon.Runtime.AmazonClientException or HttpRequestException or WebException)
        {
            throw Unreachable(e);
        }
    }

    private SnapshotStoreException Unreachable(Exception e) => e is AmazonS3Exception { StatusCode: HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized }
        ? new SnapshotStoreException("device.denied", $"{Name}: {e.Message}", e)
        : new SnapshotStoreException("device.unreachable", $"{Name}: {e.Message}", e);

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }
}
