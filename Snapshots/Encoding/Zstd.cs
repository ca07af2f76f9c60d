using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>The system's libzstd. Each thread has its own contexts. See zstd.h.</summary>
internal static unsafe partial class Zstd
{
    private const string Library = "libzstd.so.1";

    [ThreadStatic]
    private static Context? t_context;

    private static int s_available;

    internal static bool IsAvailable
    {
        get
        {
            if (s_available == 0)
            {
                s_available = NativeLibrary.TryLoad(Library, typeof(Zstd).Assembly, null, out _) ? 1 : -1;
            }

            return s_available > 0;
        }
    }

    /// <returns>Bytes used; 0 when they do not fit.</returns>
    internal static int Compress(ReadOnlySpan<byte> data, Span<byte> into, int level)
    {
        Context context = t_context ??= new Context();
        fixed (byte* from = data)
        fixed (byte* to = into)
        {
            nuint result = ZSTD_compressCCtx(context.Compressor, to, (nuint)into.Length, from, (nuint)data.Length, level);
            return ZSTD_isError(result) != 0 ? 0 : (int)result;
        }
    }

    /// <returns>False when the bytes are not exactly one frame of that length.</returns>
    internal static bool Decompress(ReadOnlySpan<byte> data, Span<byte> into)
    {
        Context context = t_context ??= new Context();
        fixed (byte* from = data)
        fixed (byte* to = into)
        {
            nuint result = ZSTD_decompressDCtx(context.Decompressor, to, (nuint)into.Length, from, (nuint)data.Length);
            return ZSTD_isError(result) == 0 && result == (nuint)into.Length;
        }
    }

    [LibraryImport(Library)]
    private static partial nint ZSTD_createCCtx();

    [LibraryImport(Library)]
    private static partial nuint ZSTD_freeCCtx(nint context);

    [LibraryImport(Library)]
    private static partial nint ZSTD_createDCtx();

    [LibraryImport(Library)]
    private static partial nuint ZSTD_freeDCtx(nint context);

    [LibraryImport(Library)]
    private static partial nuint ZSTD_compressCCtx(nint context, byte* to, nuint capacity, byte* from, nuint size, int level);

    [LibraryImport(Library)]
    private static partial nuint ZSTD_decompressDCtx(nint context, byte* to, nuint capacity, byte* from, nuint size);

    [LibraryImport(Library)]
    private static partial uint ZSTD_isError(nuint result);

    /// <summary>Freed by the collector once the thread is gone.</summary>
    private sealed class Context
    {
        internal nint Compressor { get; } = ZSTD_createCCtx();

        internal nint Decompressor { get; } = ZSTD_createDCtx();

        ~Context()
        {
            _ = ZSTD_freeCCtx(Compressor);
            _ = ZSTD_freeDCtx(Decompressor);
        }
    }
}
