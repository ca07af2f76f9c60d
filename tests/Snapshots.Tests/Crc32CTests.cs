using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class Crc32CTests(ITestOutputHelper output)
{
    [Fact]
    public void The_check_value_of_the_polynomial_comes_out() => Assert.Equal(0xE3069283u, Crc32C.Of("123456789"u8));

    [Fact]
    public void Instruction_table_and_blocks_agree()
    {
        Random random = TestSeed.Begin(output, out _);
        for (int i = 0; i < 200; i++)
        {
            byte[] data = random.Bytes(random.Next(0, 60_000));
            uint crc = Crc32C.Of(data);
            Assert.Equal(crc, ~Crc32C.Software(uint.MaxValue, data));
            int cut = random.Next(0, data.Length + 1);
            Assert.Equal(crc, Crc32C.Append(Crc32C.Of(data.AsSpan(0, cut)), data.AsSpan(cut)));
            uint[] blocks = new uint[(data.Length + 4095) / 4096];
            Crc32C.OfBlocks(data, blocks);
            Assert.Equal(blocks, data.Chunk(4096).Select(b => Crc32C.Of(b)));
        }
    }
}
