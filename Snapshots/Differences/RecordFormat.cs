using System.Buffers.Binary;
using Google.Protobuf;

namespace Holdfast.Snapshots;

/// <summary>Kinds of records of a difference: four characters. One whose first letter is lower case may be skipped by a reader that does not know it.</summary>
internal enum RecordKind : uint
{
    Head = 0x44414548, // HEAD
    Data = 0x41544144, // DATA
    Hole = 0x454C4F48, // HOLE
    State = 0x54415453, // STAT
    End = 0x20444E45,  // "END "
}

/// <summary>
/// A record: kind (4), CRC-32C (4), length of the message (4), length of the bytes (4), message, bytes. The CRC covers all but itself. Little-endian.
/// </summary>
internal static class RecordFormat
{
    internal const int HeaderSize = 16;

    /// <summary>The most that one record holds in a message or in bytes.</summary>
    internal const int MaxPart = 64 * 1024 * 1024;

    /// <summary>Of the records and of the digest. What has another is refused: its digests could not be compared.</summary>
    internal const uint Version = 2;

    internal static ReadOnlySpan<byte> FileMagic => "HFDIFF1\n"u8;

    /// <summary>The bytes before the bytes: header and message.</summary>
    internal static byte[] Head(RecordKind kind, IMessage? message, ReadOnlySpan<byte> data)
    {
        int length = message?.CalculateSize() ?? 0;
        byte[] bytes = new byte[HeaderSize + length];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)kind);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(8), length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), data.Length);
        message?.WriteTo(bytes.AsSpan(HeaderSize));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), Checksum(bytes, bytes.AsSpan(HeaderSize), data));
        return bytes;
    }

    internal static async ValueTask WriteAsync(Stream stream, RecordKind kind, IMessage? message, ReadOnlyMemory<byte> data, CancellationToken cancel)
    {
        await stream.WriteAsync(Head(kind, message, data.Span), cancel).ConfigureAwait(false);
        if (!data.IsEmpty)
        {
            await stream.WriteAsync(data, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>Reads the next record.</summary>
    /// <param name="stream">Where from.</param>
    /// <param name="buffer">Its arrays are used again.</param>
    /// <param name="source">What it is, for errors.</param>
    /// <param name="cancel">Cancels.</param>
    /// <returns>False at the end of the stream.</returns>
    /// <exception cref="SnapshotDamagedException">A checksum is wrong, or it ends inside a record.</exception>
    internal static async ValueTask<bool> ReadAsync(Stream stream, RecordBuffer buffer, string source, CancellationToken cancel)
    {
        int got = await stream.ReadAtLeastAsync(buffer.Header, HeaderSize, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
        if (got == 0)
        {
            return false;
        }

        int message = BinaryPrimitives.ReadInt32LittleEndian(buffer.Header.AsSpan(8));
        int data = BinaryPrimitives.ReadInt32LittleEndian(buffer.Header.AsSpan(12));
        if (got != HeaderSize || message is < 0 or > MaxPart || data is < 0 or > MaxPart)
        {
            throw new SnapshotDamagedException(source, buffer.Position, got != HeaderSize ? "it ends inside a record" : "a record's lengths are not possible");
        }

        // Grows as bytes arrive: a length that was altered does not make memory go.
        await FillAsync(stream, buffer, message + data, source, cancel).ConfigureAwait(false);
        buffer.Set(message, data);
        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(buffer.Header.AsSpan(4));
        uint found = Checksum(buffer.Header, buffer.Message.Span, buffer.Data.Span);
        if (expected != found)
        {
            throw new SnapshotDamagedException(source, buffer.Position, $"record with CRC-32C {expected:x8} expected, {found:x8} found");
        }

        buffer.Position += HeaderSize + message + data;
        return true;
    }

    private static async ValueTask FillAsync(Stream stream, RecordBuffer buffer, int length, string source, CancellationToken cancel)
    {
        const int Step = 1024 * 1024;
        for (int done = 0; done < length;)
        {
            int step = Math.Min(Step, length - done);
            buffer.Grow(done + step, done);
            if (await stream.ReadAtLeastAsync(buffer.Body.AsMemory(done, step), step, throwOnEndOfStream: false, cancel).ConfigureAwait(false) != step)
            {
                throw new SnapshotDamagedException(source, buffer.Position, "it ends inside a record");
            }

            done += step;
        }
    }

    private static uint Checksum(ReadOnlySpan<byte> header, ReadOnlySpan<byte> message, ReadOnlySpan<byte> data) =>
        Crc32C.Append(Crc32C.Append(Crc32C.Append(Crc32C.Of(header[..4]), header[8..16]), message), data);
}

/// <summary>What was read of a record; used for one after the other. Not to be used when it is disposed of.</summary>
internal sealed class RecordBuffer : IDisposable
{
    private int _message;
    private int _data;

    internal byte[] Header { get; } = new byte[RecordFormat.HeaderSize];

    internal byte[] Body { get; private set; } = LargeArrays.Rent(320 * 1024);

    /// <summary>Where the next record begins.</summary>
    internal long Position { get; set; }

    internal RecordKind Kind => (RecordKind)BinaryPrimitives.ReadUInt32LittleEndian(Header);

    /// <summary>True when a reader that does not know the kind must not go on.</summary>
    internal bool IsCritical => (Header[0] & 0x20) == 0;

    internal ReadOnlyMemory<byte> Message => Body.AsMemory(0, _message);

    internal ReadOnlyMemory<byte> Data => Body.AsMemory(_message, _data);

    internal void Set(int message, int data) => (_message, _data) = (message, data);

    internal void Grow(int size, int keep)
    {
        if (Body.Length < size)
        {
            byte[] larger = LargeArrays.Rent(Math.Max(size, Body.Length * 2));
            Body.AsSpan(0, keep).CopyTo(larger);
            LargeArrays.Return(Body);
            Body = larger;
        }
    }

    public void Dispose()
    {
        LargeArrays.Return(Body);
        Body = [];
    }
}
