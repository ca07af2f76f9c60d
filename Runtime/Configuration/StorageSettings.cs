using Akka.Configuration;
using Holdfast.Runtime.Cli;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Configuration;

/// <summary>What the configuration says about the store, about how it is written, and about nodes.</summary>
internal sealed record StorageSettings
{
    /// <summary>The file with the store's key; null for a store that is not encrypted.</summary>
    public required string? KeyFile { get; init; }

    /// <summary>The most bytes that packs may take; null for no limit.</summary>
    public required long? Quota { get; init; }

    /// <summary>Bytes that the store leaves free on its device.</summary>
    public required long MinimumFree { get; init; }

    /// <summary>Pages that equal the last checkpoint's are only referred to.</summary>
    public required bool Incremental { get; init; }

    /// <summary>How checkpoints are written.</summary>
    public required SnapshotWriterOptions Checkpoints { get; init; }

    /// <summary>How directories, files and images are written.</summary>
    public required SnapshotWriterOptions Paths { get; init; }

    /// <summary>Where a node listens.</summary>
    public required string Listen { get; init; }

    /// <summary>Who this node is, and whom it trusts.</summary>
    public required TlsFiles Tls { get; init; }

    public static StorageSettings From(Config config)
    {
        Config store = config.GetConfig("holdfast.store");
        Config checkpoint = config.GetConfig("holdfast.checkpoint");
        Config snapshot = config.GetConfig("holdfast.snapshot");
        Config tls = config.GetConfig("holdfast.tls");
        return new StorageSettings
        {
            KeyFile = Text(store, "key-file"),
            Quota = store.GetString("quota") == "none" ? null : Bytes(store, "holdfast.store", "quota"),
            MinimumFree = Bytes(store, "holdfast.store", "minimum-free"),
            Incremental = checkpoint.GetString("incremental") switch
            {
                "on" or "true" => true,
                "off" or "false" => false,
                var other => throw Wrong($"holdfast.checkpoint.incremental is '{other}': on or off is expected"),
            },
            Checkpoints = Writer(checkpoint, "holdfast.checkpoint", deduplicate: false),
            Paths = Writer(snapshot, "holdfast.snapshot", deduplicate: true),
            Listen = config.GetString("holdfast.node.listen"),
            Tls = new TlsFiles(Text(tls, "certificate"), Text(tls, "private-key"), Text(tls, "authority")),
        };
    }

    private static SnapshotWriterOptions Writer(Config config, string path, bool deduplicate)
    {
        string word = config.GetString("compression");
        string level = config.GetString("compression-level");
        return new SnapshotWriterOptions
        {
            Compression = word switch
            {
                "none" => Compression.None,
                "auto" => Compression.Auto,
                "zstd" => Compression.Zstd,
                "deflate" => Compression.Deflate,
                _ => throw Wrong($"{path}.compression is '{word}': none, auto, zstd or deflate is expected"),
            },
            CompressionLevel = int.TryParse(level, out int number) && number is >= 1 and <= 19
                ? number
                : throw Wrong($"{path}.compression-level is '{level}': a number from 1 to 19 is expected"),
            Deduplicate = deduplicate,
        };
    }

    private static string? Text(Config config, string key) => config.GetString(key) is { Length: > 0 } text ? text : null;

    internal static long Bytes(Config config, string path, string key) => ByteSize.TryParse(config.GetString(key), out long bytes)
        ? bytes
        : throw Wrong($"{path}.{key} is '{config.GetString(key)}': a size such as 500MiB or 2TB is expected");

    private static HoldfastException Wrong(string message) => new("config.invalid", message, ExitStatus.Usage);
}

/// <summary>PEM files: our certificate, its private key, and the authority that signs everybody's.</summary>
internal sealed record TlsFiles(string? Certificate, string? PrivateKey, string? Authority);
