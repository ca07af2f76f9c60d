using System.Diagnostics;
using System.Security.Cryptography;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class FormatTests(ITestOutputHelper output) : IDisposable
{
    private readonly TestDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_program_in_another_language_reads_a_store_by_its_description()
    {
        Random random = TestSeed.Begin(output, out _);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        foreach (SnapshotWriterOptions options in (SnapshotWriterOptions[])
            [new(), new() { Compression = Compression.Zstd, Deduplicate = true }, new() { Compression = Compression.Deflate }])
        {
            byte[] content = random.Bytes(40_000);
            content.AsSpan(5000, 20_000).Fill(9);
            SnapshotInfo first = Content.Take(store, "a b", content, null, options);
            using SnapshotWriter writer = store.BeginSnapshot("a b", "block", first, options);
            writer.KeepFromParent("data", 0, 10_000);
            writer.Write("data", 10_000, random.Bytes(3000));
            writer.KeepFromParent("data", 14_000, 26_000);
            for (int i = 0; i < 1300; i++)
            {
                writer.WriteExtent("many", i * 10L, random.Bytes(4));
            }

            writer.SetState(random.Bytes(50));
            writer.Commit();
        }

        var expected = new List<string>();
        foreach (SnapshotInfo info in store.List("a b"))
        {
            using SnapshotReader reader = store.OpenSnapshot(info);
            expected.Add($"a b {info.Id} state 0 {reader.State.Length} {Convert.ToHexStringLower(SHA256.HashData(reader.State.Span))}");
            foreach (StreamInfo stream in reader.Streams)
            {
                foreach (StreamRun run in reader.Runs(stream.Name))
                {
                    byte[] bytes = new byte[run.Length];
                    reader.Read(stream.Name, run.Offset, bytes);
                    expected.Add($"a b {info.Id} {stream.Name} {run.Offset} {run.Length} {Convert.ToHexStringLower(SHA256.HashData(bytes))}");
                }
            }
        }

        string script = Path.Combine(AppContext.BaseDirectory, "read_store.py");
        Assert.True(File.ReadAllLines(script).Length < 200);
        using var process = Process.Start(new ProcessStartInfo("python3", [script, _directory["s"]]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(expected, printed.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
