using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Finds out which eventfds are semaphores where the kernel does not say it (before Linux 6.5): a read of a semaphore takes one, of a counter all. A process that has
/// it reads and gives back, in a row of calls that it goes through even when this process dies (<see cref="InjectedCalls.Begin"/>).
/// </summary>
internal sealed class EventSemaphores
{
    // Of preadv2(2).
    private const ulong RWF_NOWAIT = 8;

    private readonly Lock gate = new();
    private readonly Dictionary<string, bool> known = [];

    /// <summary>Asks for all of a process's eventfds.</summary>
    /// <param name="descriptors">All its descriptors.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public void Ask(IEnumerable<DescriptorFacts> descriptors, InjectedCalls calls)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts facts in descriptors.Where(facts => DescriptorKinds.Of(facts) is EventFds && !EventFds.SaysWhatItIs(facts) && !known.ContainsKey(Key(facts))))
        {
            known[Key(facts)] = IsSemaphore(facts, EventFds.Count(facts), calls);
        }
    }

    /// <summary>Takes over what somebody else has found out.</summary>
    /// <param name="descriptors">All descriptors of a process.</param>
    /// <param name="semaphores">Those numbers of them that are semaphores.</param>
    public void Know(IEnumerable<DescriptorFacts> descriptors, IReadOnlySet<int> semaphores)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts facts in descriptors.Where(facts => DescriptorKinds.Of(facts) is EventFds && !EventFds.SaysWhatItIs(facts)))
        {
            known[Key(facts)] = semaphores.Contains(facts.Number);
        }
    }

    /// <summary>An eventfd with what was found; anything else as it is.</summary>
    public OpenFileImage With(DescriptorFacts facts, OpenFileImage file)
    {
        using Lock.Scope scope = gate.EnterScope();
        return file is EventFdImage counter && known.TryGetValue(Key(facts), out bool semaphore) ? counter with { Semaphore = semaphore } : file;
    }

    /// <summary>Whether one is a semaphore; afterwards it is what it was.</summary>
    /// <param name="facts">A descriptor of it.</param>
    /// <param name="count">What it counts.</param>
    /// <param name="calls">A way to make calls in the process that has it.</param>
    /// <exception cref="BridgeException"><c>fd.eventfd</c>.</exception>
    public static bool IsSemaphore(DescriptorFacts facts, ulong count, InjectedCalls calls)
    {
        ulong number = (ulong)facts.Number;
        ulong read = calls.Reserve(8);
        ulong written = calls.Reserve(8);
        ulong part = calls.Reserve(16);
        ulong nothing = calls.Reserve(8);
        try
        {
            InjectedCall take = new(X64.Read, number, read, 8);
            if (count > 1)
            {
                // What was taken is what is given back, be it one or all.
                Require(facts, calls.Begin(take, new InjectedCall(X64.Write, number, read, 8)));
            }
            else
            {
                // Two more make a difference; whatever is left of them is taken out until nothing is, and then there is what was there.
                calls.Write(written, BitConverter.GetBytes(2ul));
                calls.Write(nothing, BitConverter.GetBytes(count));
                ulong rest = calls.Reserve(8);
                calls.Write(part, [.. BitConverter.GetBytes(rest), .. BitConverter.GetBytes(8ul)]);
                InjectedCall empty = new(X64.Preadv2, number, part, 1, ulong.MaxValue, ulong.MaxValue, RWF_NOWAIT);
                Require(facts, calls.Begin(new InjectedCall(X64.Write, number, written, 8), take, empty, empty, new InjectedCall(X64.Write, number, nothing, 8)));
                Require(facts, calls.Next());
            }

            return BitConverter.ToUInt64(calls.Read(read, 8)) == 1;
        }
        finally
        {
            calls.FinishRow();
        }
    }

    private static string Key(DescriptorFacts facts) => facts.Field("eventfd-id") ?? $"{facts.Pid} {facts.Number}";

    private static void Require(DescriptorFacts facts, long result)
    {
        if (result != 8)
        {
            throw new BridgeException("fd.eventfd", $"looking at {facts.Link}, descriptor {facts.Number} of process {facts.InnerPid}", Errno.Text((int)-result), "try again");
        }
    }
}
