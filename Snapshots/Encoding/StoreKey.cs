using System.Security.Cryptography;
using System.Text;

namespace Holdfast.Snapshots;

/// <summary>The key that opens an encrypted store: 32 random bytes. It encrypts only the store's own keys, so that it can be changed at any time.</summary>
public sealed class StoreKey
{
    private const int Size = 32;

    private readonly byte[] _bytes;

    private StoreKey(byte[] bytes)
    {
        _bytes = bytes;
        Id = Convert.ToHexStringLower(HMACSHA256.HashData(bytes, "holdfast store key id"u8)[..8]);
    }

    /// <summary>Names the key without giving it away: 16 hexadecimal digits.</summary>
    public string Id { get; }

    internal ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>Makes a random key.</summary>
    public static StoreKey Generate() => new(RandomNumberGenerator.GetBytes(Size));

    /// <summary>Takes 32 bytes as a key.</summary>
    /// <exception cref="SnapshotStoreException">They are not 32 (<c>store.key</c>).</exception>
    public static StoreKey FromBytes(ReadOnlySpan<byte> bytes) =>
        bytes.Length == Size ? new StoreKey(bytes.ToArray()) : throw new SnapshotStoreException("store.key", $"a store key has {Size} bytes, not {bytes.Length}");

    /// <summary>Reads a key file: 32 bytes, or 64 hexadecimal digits with or without a line end.</summary>
    /// <exception cref="SnapshotStoreException">It cannot be read or is neither (<c>store.key</c>).</exception>
    public static StoreKey FromFile(string path)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SnapshotStoreException("store.key", $"cannot read the key file {path}: {e.Message}", e);
        }

        if (bytes.Length == Size)
        {
            return new StoreKey(bytes);
        }

        string text = Encoding.ASCII.GetString(bytes).Trim();
        return text.Length == 2 * Size && text.All(char.IsAsciiHexDigit)
            ? new StoreKey(Convert.FromHexString(text))
            : throw new SnapshotStoreException("store.key", $"{path} is not a key file: 32 bytes or 64 hexadecimal digits are expected");
    }

    /// <summary>Writes a new file, mode 0600, with the key as 64 hexadecimal digits.</summary>
    /// <exception cref="SnapshotStoreException">The file exists or cannot be written.</exception>
    public void Save(string path)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = Libc.CreateNew(path);
        Libc.Write(file, Encoding.ASCII.GetBytes(Convert.ToHexStringLower(_bytes) + "\n"), 0, path);
        Libc.Flush(file, path);
    }
}
