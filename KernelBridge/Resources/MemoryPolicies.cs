using System.Globalization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// From which NUMA nodes a thread gets memory, and an area that has a policy of its own; see set_mempolicy(2), get_mempolicy(2), mbind(2). Those of areas are read from
/// <see cref="NumaMaps"/>, with the flags of areas.
/// </summary>
internal static class MemoryPolicies
{
    /// <summary>Code of refusals.</summary>
    public const string Code = "memory.policy";

    /// <summary>What a restore does not bring back.</summary>
    public const string Caveat = "NUMA policies of parts of shared memory, and of an area that are those of the process's first thread too";

    /// <summary>Bits of a mask of nodes: the most that a kernel is built for.</summary>
    private const int MostNodes = 1024;

    /// <summary>MPOL_WEIGHTED_INTERLEAVE of include/uapi/linux/mempolicy.h is the last mode; above are MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES.</summary>
    private const int LastMode = 6, Flags = 0xe000;

    /// <summary>The question for the policy of a thread: its mode, and in the bytes from 8 on its nodes.</summary>
    public static readonly Question OfThread = new(at => new InjectedCall(X64.GetMempolicy, at, at + 8, MostNodes), 8 + (MostNodes / 8));

    /// <summary>The policy of the thread in which calls are made; null for the default one.</summary>
    /// <param name="calls">Calls in it.</param>
    /// <exception cref="BridgeException"><c>memory.policy</c>.</exception>
    public static MemoryPolicyImage? Ask(InjectedCalls calls)
    {
        if (!calls.Allows(OfThread.Call(calls.Scratch)))
        {
            // A filter that forbids to ask forbids to set.
            return null;
        }

        (long result, ReadOnlyMemory<byte> answer) = calls.Answer(OfThread);
        if (result < 0)
        {
            return result is -Errno.ENOSYS or -Errno.EPERM ? null : throw new BridgeException(Code, "asking a thread for its memory policy", Errno.Text((int)-result));
        }

        return Image(BitConverter.ToInt32(answer.Span), answer.Span[8..]);
    }

    /// <summary>The image of a policy; null for the default one.</summary>
    /// <param name="mode">MPOL_…, with flags.</param>
    /// <param name="nodes">Its nodes as a mask.</param>
    public static MemoryPolicyImage? Image(int mode, ReadOnlySpan<byte> nodes) =>
        mode == 0 ? null : new MemoryPolicyImage(mode, nodes[..(nodes.LastIndexOfAnyExcept((byte)0) + 1)].ToArray());

    /// <summary>Nodes that a policy names and this host lacks; null when there are none.</summary>
    public static Refusal? CheckRestore(ProcessImage process)
    {
        List<(string Holder, MemoryPolicyImage Policy)> policies =
        [
            .. process.Threads.Where(thread => thread.MemoryPolicy is not null).Select(thread => ($"thread {thread.Tid}", thread.MemoryPolicy!)),
            .. process.Memory!.Areas.Where(area => area.Policy is not null).Select(area => ($"memory {area.Start:x}-{area.End:x}", area.Policy!)),
        ];
        if (policies.Count == 0)
        {
            return null;
        }

        HashSet<int> here = Nodes(ProcFs.TryText("/sys/devices/system/node/has_memory") ?? "0");
        foreach ((string holder, MemoryPolicyImage policy) in policies)
        {
            if (policy.NodeNumbers.Where(node => !here.Contains(node)).ToList() is { Count: > 0 } missing)
            {
                return new Refusal(
                    Code, process.Pid, null, $"NUMA policy of {holder}", $"it names node {string.Join(", ", missing)}, which this host does not have", "restore on a host with these nodes");
            }
        }

        return null;
    }

    /// <summary>Composes what sets a thread's policy; what is inherited from the builder is the default one.</summary>
    public static void Restore(MemoryPolicyImage? policy, SyscallTape tape)
    {
        if (policy is not null)
        {
            (ulong mask, ulong size) = Place(policy, tape);
            tape.Add("memory policy", X64.SetMempolicy, (ulong)policy.Mode, mask, size);
        }
    }

    /// <summary>Composes what gives an area its own policy, before anything lies in it.</summary>
    public static void Restore(AreaImage area, SyscallTape tape)
    {
        if (area.Policy is { } policy)
        {
            (ulong mask, ulong size) = Place(policy, tape);
            tape.Add($"memory policy of {area.Start:x}-{area.End:x}", X64.Mbind, area.Start, area.Length, (ulong)policy.Mode, mask, size, 0);
        }
    }

    private static (ulong Mask, ulong Size) Place(MemoryPolicyImage policy, SyscallTape tape)
    {
        byte[] mask = new byte[MostNodes / 8];
        policy.Nodes.CopyTo(mask, 0);
        // The kernel takes one bit less than it is told (set_mempolicy(2), BUGS of the library's manual).
        return policy.Nodes.Length == 0 ? (0, 0) : (tape.Place(mask), (ulong)MostNodes);
    }

    /// <summary>Whether a policy of an image may be one.</summary>
    public static bool IsValid(MemoryPolicyImage? policy) =>
        policy is null || ((policy.Mode & ~Flags) is > 0 and <= LastMode && policy.Nodes is { Length: <= MostNodes / 8 });

    private static HashSet<int> Nodes(string list)
    {
        HashSet<int> nodes = [];
        foreach (string part in list.Trim().Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = part.Split('-');
            int first = int.Parse(ends[0], CultureInfo.InvariantCulture);
            nodes.UnionWith(Enumerable.Range(first, int.Parse(ends[^1], CultureInfo.InvariantCulture) - first + 1));
        }

        return nodes;
    }
}

/// <summary>A NUMA policy.</summary>
/// <param name="Mode">As set_mempolicy(2) takes it, flags included.</param>
/// <param name="Nodes">Mask of nodes, without zeros at its end; empty for none.</param>
internal sealed record MemoryPolicyImage(int Mode, byte[] Nodes)
{
    /// <summary>The nodes.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IEnumerable<int> NodeNumbers => Enumerable.Range(0, Nodes.Length * 8).Where(node => (Nodes[node / 8] >> (node % 8) & 1) != 0);
}
