using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Snapshots are fetched from another node, over connections that break.</summary>
public sealed class RetrievalTests : IDisposable
{
    /// <summary>A record and its head: what is lost when a connection breaks inside one.</summary>
    private const int Record = (256 * 1024) + 4096;

    private readonly TestDirectory _directory = new();
    private readonly ITestOutputHelper _output;
    private readonly Random _random;

    public RetrievalTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _);
    }

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_came_before_the_connection_broke_is_not_fetched_again(bool startsAnew)
    {
        const int Cuts = 6;
        using SnapshotStore there = SnapshotStore.Open(_directory["there"]);
        byte[] content = _random.Bytes(8_000_000);
        SnapshotInfo first = Content.Take(there, "o", content);
        _random.NextBytes(content.AsSpan(0, 3_000_000));
        SnapshotInfo second = Content.Take(there, "o", content, first, changed: page => page < 733);
        await using DeviceServer server = await DeviceServer.StartAsync(there);
        await using HttpDevice device = server.Connect();
        using SnapshotStore whole = SnapshotStore.Open(_directory["whole"]);
        long uncut = (await new Retrieval(device, whole).RunAsync("o")).BytesSent;

        await using var cutting = new CuttingSource(device, Cuts, () => _random.Next(1_300_000, 1_700_000));
        SnapshotStore here = SnapshotStore.Open(_directory["here"]);
        try
        {
            int interruptions = 0;
            for (bool done = false; !done;)
            {
                try
                {
                    interruptions += (await new Retrieval(cutting, here, new MigrationOptions { Retries = startsAnew ? 0 : 5 }).RunAsync("o")).Interruptions;
                    done = true;
                }
                catch (SnapshotStoreException e) when (e.Code == "device.unreachable" && startsAnew)
                {
                    // Another process goes on.
                    here.Dispose();
                    here = SnapshotStore.Open(_directory["here"]);
                }
            }

            _output.WriteLine($"{cutting.BytesRead} bytes read, {uncut} without cuts: {(cutting.BytesRead - uncut) / Cuts} more for each cut");
            Assert.Equal(startsAnew ? 0 : Cuts, interruptions);
            Assert.Equal(0, cutting.CutsLeft);
            Assert.InRange(cutting.BytesRead, uncut, uncut + (Cuts * Record));
            Assert.All([first, second], s => Assert.Equal(Content.Of(there, s), Content.Of(here, here.Find("o", s.Id))));
            Assert.True(here.Verify().IsSound);
            Assert.Empty(Directory.EnumerateDirectories(Path.Combine(_directory["here"], "incoming")));

            // No record that was here was asked for.
            Assert.Equal(Cuts, cutting.Rests.Count);
            Assert.All(cutting.Rests, r => Assert.Contains(r, c => c > 0));
            Assert.All(cutting.Rests.Zip(cutting.Rests.Skip(1)).Where(p => p.First.Sum() < p.Second.Sum()), p => Assert.All(p.First.Zip(p.Second), c => Assert.True(c.First <= c.Second)));
        }
        finally
        {
            here.Dispose();
        }
    }

    [Fact]
    public async Task A_rest_that_cannot_be_is_refused_and_a_snapshot_that_is_here_is_not_asked_about()
    {
        using SnapshotStore there = SnapshotStore.Open(_directory["there"]);
        SnapshotInfo only = Content.Take(there, "o", _random.Bytes(10_000));
        await using DeviceServer server = await DeviceServer.StartAsync(there);
        await using HttpDevice device = server.Connect();
        foreach (long[] counts in (long[][])[[1], [1, 2, 3, 4, 5], [-1, 0, 0, 0]])
        {
            SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.OpenRestAsync("o", null, only.Id, counts, default));
            Assert.Equal("transfer.invalid", e.Code);
        }

        // More was left out than is here: nothing is made of it.
        using SnapshotStore here = SnapshotStore.Open(_directory["here"]);
        await using Stream rest = await device.OpenRestAsync("o", null, only.Id, [1, 0, 0, 0], default);
        Assert.Equal("transfer.incomplete", (await Assert.ThrowsAsync<SnapshotStoreException>(() => DifferenceFile.ApplyRestAsync(here, rest, [1, 0, 0, 0], default))).Code);
        Assert.Empty(here.List("o"));
    }

    /// <summary>A device from which reading breaks after a number of bytes, as long as there are cuts left.</summary>
    private sealed class CuttingSource(HttpDevice inner, int cuts, Func<int> bytesUntilCut) : IStorageDevice
    {
        public int CutsLeft { get; private set; } = cuts;

        public long BytesRead { get; private set; }

        public List<IReadOnlyList<long>> Rests { get; } = [];

        public string Name => inner.Name;

        public Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel) => inner.ObjectsAsync(cancel);

        public Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel) => inner.ListAsync(objectName, cancel);

        public Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel) => inner.DigestAsync(objectName, id, cancel);

        public Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel) => throw new NotSupportedException();

        public Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel) => throw new NotSupportedException();

        public Task SendAsync(string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel) => throw new NotSupportedException();

        public Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel) => throw new NotSupportedException();

        public Task PinAsync(string objectName, string id, string owner, CancellationToken cancel) => inner.PinAsync(objectName, id, owner, cancel);

        public Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel) => inner.UnpinAsync(objectName, id, owner, cancel);

        public Task ForgetAsync(string objectName, string id, CancellationToken cancel) => throw new NotSupportedException();

        public Task<CollectionReport> CollectAsync(CancellationToken cancel) => throw new NotSupportedException();

        public async Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel) =>
            new CutStream(await inner.OpenDifferenceAsync(objectName, from, to, cancel), this, bytesUntilCut());

        public async Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel)
        {
            if (received is not null)
            {
                Rests.Add(received);
            }

            Stream rest = await inner.OpenRestAsync(objectName, from, to, received, cancel);
            return received is null ? rest : new CutStream(rest, this, bytesUntilCut());
        }

        public Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel) => throw new NotSupportedException();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        private sealed class CutStream(Stream inner, CuttingSource device, int left) : Stream
        {
            public override bool CanRead => true;

            public override bool CanSeek => false;

            public override bool CanWrite => false;

            public override long Length => throw new NotSupportedException();

            public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

            public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
            {
                if (left <= 0 && device.CutsLeft > 0)
                {
                    device.CutsLeft--;
                    throw new IOException("the connection was cut");
                }

                int got = await inner.ReadAsync(device.CutsLeft > 0 ? buffer[..Math.Min(buffer.Length, left)] : buffer, cancellationToken);
                left -= got;
                device.BytesRead += got;
                return got;
            }

            public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

            public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

            public override void Flush()
            {
            }

            public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

            public override void SetLength(long value) => throw new NotSupportedException();

            protected override void Dispose(bool disposing)
            {
                if (disposing)
                {
                    inner.Dispose();
                }

                base.Dispose(disposing);
            }
        }
    }
}
