using System.Diagnostics;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.CharDevice;

// Runs in the guest: a process with a known mark in its memory is frozen, read, written to and thawed through the client of the device.
const string group = "/sys/fs/cgroup/client";
byte[] mark = Guid.NewGuid().ToByteArray(), other = Guid.NewGuid().ToByteArray();
Directory.CreateDirectory(group);
using Process victim = Process.Start(new ProcessStartInfo("sh", ["-c", $"mark={Convert.ToHexString(mark)}; echo $mark; while read -r line; do echo $mark; done"])
{
    RedirectStandardInput = true, RedirectStandardOutput = true,
})!;
try
{
    Require(victim.StandardOutput.ReadLine() == Convert.ToHexString(mark), "the process does not say its mark");
    File.WriteAllText($"{group}/cgroup.procs", $"{victim.Id}");
    using (CkptSession session = CkptSession.TryOpen() ?? throw new InvalidOperationException("there is no device"))
    {
        Require((session.Features & CkptAbi.FeaturePut) != 0, "the device cannot write");
        session.Attach(victim.Id, follow: true);
        Require(session.Processes().SequenceEqual([victim.Id]), "the session has other processes");
        Require(session.Freeze(group, TimeSpan.FromSeconds(30)) == 1, "one thread was expected");
        Require(Records(session.TryState(victim.Id)!).Contains(CkptAbi.RecordVma), "the state has no areas");
        Require(Replace(session) > 0, "the mark was not found in any page");
        session.Thaw();
    }

    victim.StandardInput.WriteLine();
    Require(victim.StandardOutput.ReadLine() == Convert.ToHexString(other), "the process does not say what was written into it");
    Console.WriteLine("pass client");
    return 0;
}
catch (Exception e)
{
    Console.WriteLine($"fail client: {e.Message}");
    return 1;
}
finally
{
    victim.Kill();
    victim.WaitForExit();
}

static void Require(bool condition, string what)
{
    if (!condition)
    {
        throw new InvalidOperationException(what);
    }
}

// The types of the records of a state.
static List<uint> Records(byte[] state)
{
    List<uint> types = [];
    for (int at = 0; at < state.Length;)
    {
        CkptStructures.Record record = MemoryMarshal.Read<CkptStructures.Record>(state.AsSpan(at));
        types.Add(record.Type);
        at += (int)record.Size;
    }

    return types;
}

// Puts the other mark in the place of the mark, in every page that has it; how many these are.
int Replace(CkptSession session)
{
    byte[] buffer = new byte[1 << 20], from = System.Text.Encoding.ASCII.GetBytes(Convert.ToHexString(mark)), to = System.Text.Encoding.ASCII.GetBytes(Convert.ToHexString(other));
    CkptStructures.Range[] all = [new() { Start = 0, End = 1ul << 46 }, new() { Start = 1ul << 46, End = (1ul << 47) - 4096 }];
    int replaced = 0;
    for (ulong next = 0; next != ulong.MaxValue;)
    {
        int length = session.Pages(victim.Id, all, ref next, buffer);
        for (int at = 0; at < length;)
        {
            CkptStructures.Page page = MemoryMarshal.Read<CkptStructures.Page>(buffer.AsSpan(at));
            Span<byte> record = buffer.AsSpan(at, (int)page.Size);
            at += (int)page.Size;
            bool found = false;
            for (int hit; (hit = record.IndexOf(from)) >= 0; found = true)
            {
                to.CopyTo(record[hit..]);
            }

            if (found)
            {
                session.Put(victim.Id, record);
                replaced++;
            }
        }
    }

    return replaced;
}
