using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Holdfast.Runtime.Configuration;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>How a device is reached: what the command line says, over what is configured.</summary>
/// <param name="KeyFile">For a directory: the key of the store there; null: this store's.</param>
/// <param name="Tls">For https.</param>
/// <param name="Endpoint">For a bucket whose service is not AWS's.</param>
internal sealed record DeviceAccess(string? KeyFile, TlsFiles Tls, string? Endpoint);

/// <summary>What a directory is in which there is no store.</summary>
internal enum AbsentStore
{
    /// <summary>An error.</summary>
    Refused,

    /// <summary>A device that holds nothing, for plans: the directory is left as it is.</summary>
    Empty,

    /// <summary>The place of a new store.</summary>
    Made,
}

/// <summary>
/// A storage device as people name it: a directory, <c>https://HOST:PORT</c> (a node), or <c>s3://BUCKET/PREFIX</c>. A bucket keeps whole
/// files of a store and is a <see cref="Bucket"/>; the others are a <see cref="Storage"/>.
/// </summary>
internal sealed class Device : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _held = [];
    private readonly List<IDisposable> _closed = [];

    private Device(string name) => Name = name;

    public string Name { get; }

    /// <summary>Null for a bucket.</summary>
    public IStorageDevice? Storage { get; private init; }

    /// <summary>The store of a directory; otherwise null.</summary>
    public SnapshotStore? Store { get; private init; }

    /// <summary>Null for anything but a bucket.</summary>
    public BucketMirror? Bucket { get; private init; }

    /// <summary>Opens a device.</summary>
    /// <param name="name">As it is written.</param>
    /// <param name="access">How it is reached.</param>
    /// <param name="own">How this store is opened: a store in a new directory is encrypted with the same key.</param>
    /// <param name="absent">What a directory without a store is.</param>
    public static Device Open(string name, DeviceAccess access, StoreOptions own, AbsentStore absent)
    {
        int scheme = name.IndexOf("://", StringComparison.Ordinal);
        return (scheme < 0 ? "" : name[..scheme]) switch
        {
            "" => OfDirectory(name, access, own, absent),
            "https" => OfNode(name, access.Tls),
            "s3" => OfBucket(name, access.Endpoint),
            var other => throw new HoldfastException(
                "device.invalid", $"{other}:// is no kind of device; name a directory, https://HOST:PORT or s3://BUCKET/PREFIX", ExitStatus.Usage),
        };
    }

    /// <summary>Reads a certificate and its key.</summary>
    /// <exception cref="HoldfastException">They are not given, or cannot be read (<c>tls.missing</c>, <c>tls.invalid</c>).</exception>
    public static (X509Certificate2 Own, X509Certificate2 Authority) Certificates(TlsFiles files)
    {
        string Required(string? file, string key) => file ?? throw new HoldfastException(
            "tls.missing", $"nodes know each other by certificates: give --{key} FILE, or set holdfast.tls.{key}", ExitStatus.Usage);

        string certificate = Required(files.Certificate, "certificate");
        string key = Required(files.PrivateKey, "private-key");
        string authority = Required(files.Authority, "authority");
        return (Load(() => X509Certificate2.CreateFromPemFile(certificate, key), $"{certificate} with {key}"), Load(() => X509CertificateLoader.LoadCertificateFromFile(authority), authority));
    }

    private static X509Certificate2 Load(Func<X509Certificate2> load, string what)
    {
        try
        {
            return load();
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new HoldfastException("tls.invalid", $"no certificate can be read from {what}: {e.Message}", ExitStatus.Usage, e);
        }
    }

    private static Device OfDirectory(string name, DeviceAccess access, StoreOptions own, AbsentStore absent)
    {
        bool nothing = !Directory.Exists(name);
        if (nothing && absent == AbsentStore.Refused)
        {
            throw new HoldfastException("device.missing", $"there is no directory {name}; name that of a store");
        }

        if (absent == AbsentStore.Empty && (nothing || !Directory.EnumerateFileSystemEntries(name).Any()))
        {
            return new Device(name) { Storage = new EmptyDevice(name) };
        }

        StoreKey? key = access.KeyFile is null ? own.Key : StoreKey.FromFile(access.KeyFile);

        // A store that is there and not encrypted needs no key: then this store's is not meant for it.
        bool plain = access.KeyFile is null && File.Exists(Path.Combine(name, "store")) && !SnapshotStore.IsEncryptedAt(name);
        SnapshotStore store = SnapshotStore.Open(name, own with { Key = plain ? null : key, Create = absent == AbsentStore.Made, Quota = null });
        StoreDevice storage = new(store, DeviceSnapshots.MustStay);
        return new Device(name) { Storage = storage, Store = store, _held = { storage }, _closed = { store } };
    }

    private static Device OfNode(string name, TlsFiles tls)
    {
        if (!Uri.TryCreate(name, UriKind.Absolute, out Uri? address))
        {
            throw new HoldfastException("device.invalid", $"'{name}' is no address; write https://HOST:PORT", ExitStatus.Usage);
        }

        (X509Certificate2 own, X509Certificate2 authority) = Certificates(tls);
        HttpDevice storage = new(address, HttpDevice.Handler(own, authority));
        return new Device(name) { Storage = storage, _held = { storage }, _closed = { own, authority } };
    }

    private static Device OfBucket(string name, string? endpoint)
    {
        string[] parts = name["s3://".Length..].Split('/', 2);
        if (parts[0].Length == 0)
        {
            throw new HoldfastException("device.invalid", $"'{name}' names no bucket; write s3://BUCKET/PREFIX", ExitStatus.Usage);
        }

        string prefix = parts.Length == 1 ? "" : parts[1].Trim('/');
        S3Container container = S3Container.Open(parts[0], prefix.Length == 0 ? "" : prefix + "/", endpoint);
        return new Device(name) { Bucket = new BucketMirror(container), _held = { container } };
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable held in _held)
        {
            await held.DisposeAsync().ConfigureAwait(false);
        }

        _closed.ForEach(c => c.Dispose());
    }
}
