using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Holdfast.KernelBridge.Tape;

/// <summary>What a record does beside its call.</summary>
[Flags]
internal enum TapeFlags : uint
{
    None = 0,

    /// <summary>An error does not end the tape.</summary>
    MayFail = 1,

    /// <summary>The first argument is the kept result of an earlier record.</summary>
    FirstIsKept = 2,

    /// <summary>The fifth argument is the kept result of an earlier record.</summary>
    FifthIsKept = 4,

    /// <summary>The result is not kept for later records.</summary>
    LeaveKept = 8,
}

/// <summary>
/// System calls for another process to make, with the data that they point to. Composed here, run by <see cref="TapeInterpreter"/> there;
/// it can be printed and compared without running it.
/// </summary>
/// <param name="dataAddress">Where, in the process that will run it, the data lie.</param>
internal sealed class SyscallTape(ulong dataAddress)
{
    /// <summary>Bytes per record: <c>{u32 number, u32 flags, a0…a5, result}</c>.</summary>
    public const int RecordSize = 64;

    private readonly List<ulong> words = [];
    private readonly List<string> purposes = [];
    private readonly MemoryStream data = new();

    public int Count => purposes.Count;

    public int DataLength => (int)data.Length;

    /// <summary>Adds a call.</summary>
    /// <param name="purpose">What it is for, as a message says it: <c>opening /etc/hosts</c>.</param>
    /// <param name="number">System-call number.</param>
    /// <param name="flags">What else the record does.</param>
    /// <param name="arguments">Up to six.</param>
    public void AddWith(string purpose, int number, TapeFlags flags, params ReadOnlySpan<ulong> arguments)
    {
        purposes.Add(purpose);
        words.Add((uint)number | (ulong)flags << 32);
        for (int i = 0; i < 6; i++)
        {
            words.Add(i < arguments.Length ? arguments[i] : 0);
        }

        words.Add(0);
    }

    /// <summary>Adds a call that must succeed.</summary>
    public void Add(string purpose, int number, params ReadOnlySpan<ulong> arguments) => AddWith(purpose, number, TapeFlags.None, arguments);

    /// <summary>Puts bytes where the process will find them; the address is a multiple of 16.</summary>
    public ulong Place(ReadOnlySpan<byte> bytes)
    {
        ulong address = dataAddress + (ulong)data.Length;
        data.Write(bytes);
        data.SetLength((data.Length + 15) & ~15);
        data.Position = data.Length;
        return address;
    }

    /// <summary>Puts a value where the process will find it.</summary>
    public ulong Place<T>(T value)
        where T : unmanaged => Place(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    /// <summary>Puts a path, zero-terminated, where the process will find it.</summary>
    public ulong Place(string text) => Place(Encoding.UTF8.GetBytes(text + "\0"));

    /// <summary>Room of zeros for results.</summary>
    public ulong Reserve(int length) => Place(new byte[length]);

    public byte[] Records() => MemoryMarshal.AsBytes<ulong>(words.ToArray()).ToArray();

    public byte[] Data() => data.ToArray();

    public string Purpose(int record) => purposes[record];

    /// <summary>The tape as text, a line per record.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        for (int i = 0; i < Count; i++)
        {
            ulong[] record = [.. words.Skip(i * 8).Take(8)];
            text.Append(CultureInfo.InvariantCulture, $"{i,4} {(uint)record[0],4} {(TapeFlags)(record[0] >> 32),-12} (");
            text.AppendJoin(", ", record.Skip(1).Take(6).Select(word => "0x" + word.ToString("x", CultureInfo.InvariantCulture)));
            text.Append(CultureInfo.InvariantCulture, $") {purposes[i]}\n");
        }

        return text.ToString();
    }
}
