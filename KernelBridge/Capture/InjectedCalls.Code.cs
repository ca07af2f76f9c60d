using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Calls whose arguments are what earlier ones gave, so that no frame can hold them before: a piece of code of ours makes them, in memory that is mapped for it in a
/// row of calls (<see cref="Begin"/>) of which the next unmaps it. The code ends in <c>ret</c>, which leads to that call: a thread whose tracer dies goes through all of it.
/// </summary>
internal sealed partial class InjectedCalls
{
    private const ulong MAP_FIXED_NOREPLACE = 0x100000, MAP_PRIVATE_ANONYMOUS = 0x22, CodeSize = 0x1000;

    /// <summary>The calls that map data (read, write) and behind it a page for code (read, execute), and unmap them.</summary>
    /// <param name="at">A page-aligned address at which nothing is mapped.</param>
    /// <param name="length">Bytes of data.</param>
    public static (InjectedCall Data, InjectedCall Code, InjectedCall Unmap) Room(ulong at, int length)
    {
        ulong data = DataSize(length);
        return (new InjectedCall(X64.Mmap, at, data, 3, MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE, ulong.MaxValue),
            new InjectedCall(X64.Mmap, at + data, CodeSize, 5, MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE, ulong.MaxValue),
            new InjectedCall(X64.Munmap, at, data + CodeSize));
    }

    /// <summary>Where in such a room the code lies, which begins with the data.</summary>
    public static ulong CodeAt(ulong at, int length) => at + DataSize(length);

    /// <summary>Finds an address at which nothing is mapped.</summary>
    /// <param name="pid">The process; it stands.</param>
    /// <param name="length">Bytes of data.</param>
    /// <exception cref="BridgeException"><c>inject.room</c>.</exception>
    public static ulong FindRoom(int pid, int length)
    {
        ulong needed = DataSize(length) + CodeSize + 0x20000;
        ulong end = 0x10000000;
        foreach (MemoryMap map in MemoryMap.Read(pid))
        {
            if (map.Start > end && map.Start - end >= needed)
            {
                return end + 0x10000;
            }

            end = Math.Max(end, map.End);
        }

        throw new BridgeException("inject.room", $"calling into process {pid}", "it leaves no addresses", "try again");
    }

    /// <summary>Runs code; the row's last call has mapped the room for it, the next unmaps it. The thread stands behind that one afterwards.</summary>
    /// <param name="code">The code: it makes system calls and returns.</param>
    /// <param name="at">Where it is written.</param>
    /// <param name="calls">What it may call, to be put to filters.</param>
    /// <param name="arguments">Sets the registers with which it begins.</param>
    /// <param name="done">Called when it has returned, while its data are there.</param>
    public void RunCode(ReadOnlySpan<byte> code, ulong at, ReadOnlySpan<InjectedCall> calls, Func<UserRegisters, UserRegisters> arguments, Action done)
    {
        foreach (InjectedCall call in calls)
        {
            Filters?.Require(call, at + 2);
        }

        memory.Write(at, code);
        PtraceCall.SetRegisters(thread.Tid, arguments(PtraceCall.GetRegisters(thread.Tid)) with { Rip = at, OrigRax = ulong.MaxValue });
        do
        {
            thread.RunToSyscallStop();
        }
        while (!thread.Gone && PtraceCall.GetRegisters(thread.Tid).OrigRax != X64.RtSigreturn);

        // At the entry of the return into the frame of the next call: that return is not made.
        done();
        Enter(rest.Dequeue());
        thread.RunToSyscallStop();
        _ = MakePrepared();
    }

    private static ulong DataSize(int length) => ((ulong)length + 0xfff) & ~0xffful;
}
