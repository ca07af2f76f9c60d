using System.Buffers.Binary;
using System.Security.Cryptography;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Whether a file that is mapped shared still holds the same, where times do not tell: in tmpfs, of which the host's /dev/shm is made, only the first write
/// to a page through a mapping changes them (fault_dirty_shared_page of mm/memory.c), since nothing is ever written back.
/// </summary>
internal static class ContentDigest
{
    /// <summary>The digest of a file in tmpfs; null for any other.</summary>
    /// <param name="link">A path that leads to it.</param>
    /// <param name="identity">What it is.</param>
    /// <exception cref="BridgeException"><c>file.unreadable</c>.</exception>
    public static byte[]? Of(string link, FileIdentity identity)
    {
        if (Libc.FileSystemType(link) != Libc.TmpfsMagic)
        {
            return null;
        }

        using HashingSink sink = new();
        _ = GhostFiles.Pump(new GhostFileImage(0, link, identity, 0, 0), link, sink);
        return sink.Digest();
    }

    /// <summary>Takes every page that is not zero with its place, so that holes and written zeros are the same.</summary>
    private sealed class HashingSink : IPageSink, IDisposable
    {
        private const int Page = 4096;
        private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        public void Write(string stream, long offset, ReadOnlySpan<byte> data)
        {
            Span<byte> place = stackalloc byte[8];
            for (int at = 0; at < data.Length; at += Page)
            {
                ReadOnlySpan<byte> page = data.Slice(at, Math.Min(Page, data.Length - at));
                if (page.ContainsAnyExcept((byte)0))
                {
                    BinaryPrimitives.WriteInt64LittleEndian(place, offset + at);
                    hash.AppendData(place);
                    hash.AppendData(page);
                }
            }
        }

        public byte[] Digest() => hash.GetHashAndReset();

        public void Dispose() => hash.Dispose();
    }
}
