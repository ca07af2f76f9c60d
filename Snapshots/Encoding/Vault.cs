using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// The keys of an encrypted store. A ring of data keys is kept in the store's header, encrypted with the <see cref="StoreKey"/>;
/// every pack and manifest has a key of its own, derived from a data key and a random id.
/// </summary>
internal sealed class Vault
{
    private readonly KeyRing _ring;

    internal Vault(KeyRing ring)
    {
        _ring = ring;
        Generation = ring.DataKeys.Max(k => k.Generation);
    }

    /// <summary>The data key that new files are encrypted with.</summary>
    internal uint Generation { get; }

    /// <summary>A ring with one data key.</summary>
    internal static Vault Make() => new(new KeyRing
    {
        NameKey = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(32)),
        HashKey = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(32)),
        DataKeys = { NewKey(1) },
    });

    /// <summary>The same ring with another data key for what is written from now on.</summary>
    internal Vault Rotated()
    {
        KeyRing ring = _ring.Clone();
        ring.DataKeys.Add(NewKey(Generation + 1));
        return new Vault(ring);
    }

    /// <summary>Opens the ring of a store's header.</summary>
    /// <exception cref="SnapshotStoreException">The key is another (<c>store.key</c>).</exception>
    internal static Vault Open(KeySlot slot, StoreKey key, string path)
    {
        if (slot.KeyId != key.Id)
        {
            throw new SnapshotStoreException("store.key", $"{path} is encrypted with the key {slot.KeyId}; the given key is {key.Id}");
        }

        ReadOnlySpan<byte> sealed_ = slot.Ring.Span;
        if (slot.Nonce.Length != FileCipher.NonceSize || sealed_.Length < FileCipher.TagSize)
        {
            throw new SnapshotDamagedException(path, 0, "the key ring is not possible");
        }

        byte[] ring = new byte[sealed_.Length - FileCipher.TagSize];
        try
        {
            using var aes = new AesGcm(key.Bytes, FileCipher.TagSize);
            aes.Decrypt(slot.Nonce.Span, sealed_[..ring.Length], sealed_[ring.Length..], ring);
        }
        catch (AuthenticationTagMismatchException e)
        {
            throw new SnapshotDamagedException(path, 0, "the key ring does not decrypt", e);
        }

        KeyRing message = FrameFile.Parse(KeyRing.Parser, ring, path, 0);
        return message.DataKeys.Count > 0 && message.NameKey.Length == 32 && message.HashKey.Length == 32
            ? new Vault(message)
            : throw new SnapshotDamagedException(path, 0, "the key ring is not complete");
    }

    /// <summary>The ring as a header holds it.</summary>
    internal KeySlot Seal(StoreKey key)
    {
        byte[] plain = _ring.ToByteArray();
        byte[] nonce = RandomNumberGenerator.GetBytes(FileCipher.NonceSize);
        byte[] sealed_ = new byte[plain.Length + FileCipher.TagSize];
        using var aes = new AesGcm(key.Bytes, FileCipher.TagSize);
        aes.Encrypt(nonce, plain, sealed_.AsSpan(0, plain.Length), sealed_.AsSpan(plain.Length));
        return new KeySlot { KeyId = key.Id, Nonce = ByteString.CopyFrom(nonce), Ring = ByteString.CopyFrom(sealed_) };
    }

    /// <summary>The cipher of one file.</summary>
    /// <param name="generation">Which data key; a file says which it was.</param>
    /// <param name="id">The file's 16 byte id.</param>
    /// <param name="path">The file, for errors.</param>
    internal FileCipher For(uint generation, ReadOnlySpan<byte> id, string path)
    {
        DataKey key = _ring.DataKeys.FirstOrDefault(k => k.Generation == generation)
            ?? throw new SnapshotStoreException("store.key", $"{path} was written with the store's key of generation {generation}, which this process does not have; open the store again");
        byte[] derived = HKDF.DeriveKey(HashAlgorithmName.SHA256, key.Key.ToByteArray(), 32, id.ToArray(), "holdfast file"u8.ToArray());
        return new FileCipher(derived);
    }

    /// <summary>The keyed hash of an extent's or a leaf's bytes.</summary>
    internal void Hash(ReadOnlySpan<byte> data, Span<byte> into) => HMACSHA256.HashData(_ring.HashKey.Span, data, into);

    /// <summary>The directory that stands for a name.</summary>
    internal string DirectoryName(string name) => Convert.ToHexStringLower(HMACSHA256.HashData(_ring.NameKey.Span, Encoding.UTF8.GetBytes(name))[..20]);

    private static DataKey NewKey(uint generation) => new() { Generation = generation, Key = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(32)) };
}

/// <summary>AES-256-GCM with the key of one file. Nonces are positions in the file: each is written once. Safe for several threads.</summary>
internal sealed class FileCipher(byte[] key) : IDisposable
{
    internal const int NonceSize = 12;
    internal const int TagSize = 16;

    private readonly ConcurrentBag<AesGcm> _idle = [];

    /// <summary>Encrypts; the tag follows the ciphertext.</summary>
    internal void Seal(long position, uint domain, ReadOnlySpan<byte> plain, Span<byte> into)
    {
        Span<byte> nonce = stackalloc byte[NonceSize];
        Nonce(nonce, position, domain);
        AesGcm aes = Rent();
        aes.Encrypt(nonce, plain, into[..plain.Length], into.Slice(plain.Length, TagSize));
        _idle.Add(aes);
    }

    /// <summary>Decrypts and verifies.</summary>
    /// <returns>False when it is not what was encrypted.</returns>
    internal bool TryOpen(long position, uint domain, ReadOnlySpan<byte> stored, Span<byte> into)
    {
        if (stored.Length != into.Length + TagSize)
        {
            return false;
        }

        Span<byte> nonce = stackalloc byte[NonceSize];
        Nonce(nonce, position, domain);
        AesGcm aes = Rent();
        try
        {
            aes.Decrypt(nonce, stored[..into.Length], stored[into.Length..], into);
            return true;
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }
        finally
        {
            _idle.Add(aes);
        }
    }

    private static void Nonce(Span<byte> nonce, long position, uint domain)
    {
        BinaryPrimitives.WriteInt64LittleEndian(nonce, position);
        BinaryPrimitives.WriteUInt32LittleEndian(nonce[8..], domain);
    }

    private AesGcm Rent() => _idle.TryTake(out AesGcm? aes) ? aes : new AesGcm(key, TagSize);

    public void Dispose()
    {
        while (_idle.TryTake(out AesGcm? aes))
        {
            aes.Dispose();
        }
    }
}
