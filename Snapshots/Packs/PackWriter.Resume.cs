using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>Going on with a partial pack.</content>
internal sealed partial class PackWriter
{
    /// <summary>Opens a partial pack of a writer that died, or stopped, to go on with it.</summary>
    /// <returns>Null when it is gone or somebody else has it.</returns>
    internal static PackWriter? TryResume(string path, Vault? vault, SpaceBudget? budget)
    {
        if (!PackId.TryParse(Path.GetFileNameWithoutExtension(path.AsSpan()), out PackId id) || Libc.TryOpen(path, write: true) is not { } file)
        {
            return null;
        }

        try
        {
            Span<byte> header = stackalloc byte[PackFormat.HeaderUsed];
            int length = Libc.Read(file, header, 0, path);
            if (Libc.Lock(file, Libc.LockExclusive | Libc.LockNonBlocking, path))
            {
                uint generation = PackFormat.CheckHeader(header[..length], id, path);
                return new PackWriter(path, id, file, (generation == 0) == (vault is null) ? vault?.For(generation, id.ToBytes(), path) : throw new SnapshotDamagedException(path, 24, "is encrypted otherwise than the store"), budget);
            }
        }
        catch (SnapshotStoreException)
        {
            // Whatever is wrong with it: it is not gone on with.
        }

        file.Dispose();
        return null;
    }

    private PackWriter(string path, PackId id, SafeFileHandle file, FileCipher? cipher, SpaceBudget? budget)
    {
        (_path, Id, _file, _cipher, _budget) = (path, id, file, cipher, budget);
        _directory = Path.GetDirectoryName(path)!;
    }

    /// <summary>Takes a row over that was written before the pack was resumed.</summary>
    /// <returns>False when its bytes are not there: they have to come again.</returns>
    internal bool TryRecover(long position, int stored, int logicalLength, uint codec, uint crc, ReadOnlySpan<byte> hash)
    {
        byte[] bytes = LargeArrays.Rent(stored);
        try
        {
            Span<byte> read = bytes.AsSpan(0, stored);
            if (position < PackFormat.HeaderSize || Libc.Read(_file, read, position, _path) != stored || Crc32C.Of(read) != crc)
            {
                return false;
            }

            uint[] crcs = [crc];
            if (codec == 0)
            {
                crcs = new uint[(stored + Crc32C.BlockSize - 1) / Crc32C.BlockSize];
                Crc32C.OfBlocks(read, crcs);
            }

            AddRow(position, stored, logicalLength, codec, crcs, hash);
            _next = Math.Max(_next, position + stored);
            _stored += stored;
            return true;
        }
        finally
        {
            LargeArrays.Return(bytes);
        }
    }

    /// <summary>Nothing at or below this position is written again: a record that did not reach the journal may have used it, with this key.</summary>
    internal void SkipTo(long position) => _next = Math.Max(_next, position);
}
