using System.Buffers.Binary;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>The journal: what is stored, so that a transfer goes on after its receiver died.</content>
internal sealed partial class IncomingTransfer
{
    /// <summary>The process state, in a file of its own beside the journal.</summary>
    private string StatePath => Path.Combine(_directory, "state");

    private void ReceiveState(int lane, ReadOnlySpan<byte> state)
    {
        using (SafeFileHandle file = File.OpenHandle(StatePath, FileMode.Create, FileAccess.Write))
        {
            Libc.Write(file, state, 0, StatePath);
        }

        _state = state.ToArray();
        Note(new ReceivedRecord { Lane = (uint)lane, Kind = (uint)RecordKind.State, Ranges = new DifferenceRanges(), Stored = (ulong)state.Length, Crc = Crc32C.Of(state) }, null);
    }

    private bool RecoverState(ReceivedRecord record)
    {
        byte[] state = File.Exists(StatePath) ? File.ReadAllBytes(StatePath) : [];
        if ((ulong)state.Length != record.Stored || Crc32C.Of(state) != record.Crc)
        {
            return false;
        }

        _state = state;
        return true;
    }

    /// <summary>Takes a record into the tables, and into the journal once its bytes are in the file.</summary>
    private void Note(ReceivedRecord record, StoredExtent? stored)
    {
        byte[] message = record.ToByteArray();
        byte[] line = new byte[8 + message.Length];
        BinaryPrimitives.WriteInt32LittleEndian(line, message.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(line.AsSpan(4), Crc32C.Of(message));
        message.CopyTo(line, 8);
        lock (_sync)
        {
            Libc.Write(_journal, line, _journalEnd, _directory);
            _journalEnd += line.Length;
            Apply(record, stored);
        }
    }

    private void Apply(ReceivedRecord record, StoredExtent? stored)
    {
        int stream = (int)record.Ranges.Stream;
        long at = 0;
        int skip = 0;
        for (int i = 0; i < record.Ranges.Gap.Count; i++)
        {
            long length = (long)record.Ranges.Length[i];
            at = checked(at + (long)record.Ranges.Gap[i]);
            _replaced[stream].Add(new StreamRun(at, length));
            if (stored is { } place)
            {
                _extents[stream].Add(new Extent(at, length, place.Pack, place.Encoded ? place.Position : place.Position + skip, place.Encoded, place.Encoded ? skip : 0));
            }

            at = checked(at + length);
            skip += stored is null ? 0 : (int)length;
        }

        foreach (Placement also in record.Ranges.Also)
        {
            long length = (long)record.Ranges.Length[0];
            _replaced[(int)also.Stream].Add(new StreamRun((long)also.Offset, length));
            _extents[(int)also.Stream].Add(new Extent((long)also.Offset, length, stored!.Value.Pack, stored.Value.Position, stored.Value.Encoded, 0));
        }

        _received[record.Lane]++;
    }

    /// <summary>Goes through the journal. A lane ends at its first record whose bytes are not there.</summary>
    private void Replay(string path)
    {
        byte[] journal = new byte[RandomAccess.GetLength(_journal)];
        int size = Libc.Read(_journal, journal, 0, path);
        bool[] broken = new bool[_received.Length];
        var kept = new MemoryStream();
        for (int at = 0; size - at >= 8;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(journal.AsSpan(at));
            if (length < 0 || length > size - at - 8 || Crc32C.Of(journal.AsSpan(at + 8, length)) != BinaryPrimitives.ReadUInt32LittleEndian(journal.AsSpan(at + 4)))
            {
                break;
            }

            ReceivedRecord record = ReceivedRecord.Parser.ParseFrom(journal, at + 8, length);
            if (record.Lane < broken.Length && !broken[record.Lane] && record.Ranges.Stream < (ulong)_replaced.Length)
            {
                if (Recover(record, out StoredExtent? stored))
                {
                    Apply(record, stored);
                    kept.Write(journal, at, 8 + length);
                }
                else
                {
                    broken[record.Lane] = true;
                }
            }

            at += 8 + length;
        }

        RandomAccess.SetLength(_journal, 0);
        Libc.Write(_journal, kept.GetBuffer().AsSpan(0, (int)kept.Length), 0, path);
        _journalEnd = kept.Length;
    }

    private bool Recover(ReceivedRecord record, out StoredExtent? stored)
    {
        stored = null;
        switch ((RecordKind)record.Kind)
        {
            case RecordKind.Hole:
                return true;
            case RecordKind.State:
                return RecoverState(record);
        }

        if (record.Pack.Length != 0)
        {
            stored = record.Ranges.Hash.Length == Hash.Size ? _encoder.TryFind(Hash.From(record.Ranges.Hash.Span), (int)record.Logical) : null;
            return stored is not null;
        }

        if (record.Stored == 0)
        {
            // Found among what this transfer had brought: found again, now that that is recovered.
            stored = record.Ranges.Hash.Length == Hash.Size ? _encoder.TryFind(Hash.From(record.Ranges.Hash.Span), (int)record.Logical) : null;
            return stored is not null;
        }

        stored = new StoredExtent(_pack.Id, (long)record.Position, record.Codec != 0);
        return record.Stored <= RecordFormat.MaxPart * 2
            && _pack.TryRecover((long)record.Position, (int)record.Stored, (int)record.Logical, record.Codec, record.Crc, record.Ranges.Hash.Span is { Length: Hash.Size } hash && !_store.IsEncrypted ? hash : default);
    }
}
