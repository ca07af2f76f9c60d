using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>A program that the kernel has taken, for as long as this process lives, and that it runs over what one process has: Documentation/bpf/bpf_iterators.rst.</summary>
internal sealed unsafe class BpfIterator
{
    private const int SysBpf = 321, BPF_PROG_LOAD = 5, BPF_LINK_CREATE = 28, BPF_ITER_CREATE = 33, BPF_PROG_TYPE_TRACING = 26, BPF_TRACE_ITER = 28;

    /// <summary>More records than there can be: PID_MAX_LIMIT, and far more areas than vm.max_map_count is ever set to.</summary>
    private const int Most = 1 << 22;

    private readonly int program;

    private BpfIterator(int program) => this.program = program;

    /// <summary>Gives the kernel a program; null where it does not take it.</summary>
    /// <param name="function">The number of the function that the kernel has for programs of that kind.</param>
    /// <param name="code">The program.</param>
    public static BpfIterator? TryLoad(int function, byte[] code)
    {
        fixed (byte* instructions = code)
        {
            // The kernel lets programs call some of its functions that say so only.
            fixed (byte* license = "GPL\0"u8)
            {
                // union bpf_attr of BPF_PROG_LOAD, up to attach_btf_id and the empty fields behind it.
                byte* load = stackalloc byte[120];
                new Span<byte>(load, 120).Clear();
                *(uint*)load = BPF_PROG_TYPE_TRACING;
                *(uint*)(load + 4) = (uint)(code.Length / 8);
                *(ulong*)(load + 8) = (ulong)instructions;
                *(ulong*)(load + 16) = (ulong)license;
                "holdfast"u8.CopyTo(new Span<byte>(load + 48, 15));
                *(uint*)(load + 68) = BPF_TRACE_ITER;
                *(uint*)(load + 108) = (uint)function;
                return Bpf(BPF_PROG_LOAD, load, 120) is >= 0 and var program ? new BpfIterator(program) : null;
            }
        }
    }

    /// <summary>Runs it.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="all">For all of its threads; else for the first.</param>
    /// <param name="follows">
    /// Whether a record may come behind another, as one that was not there yet. Over the areas of one thread a kernel (seen with 6.18) never ends where they do not fit into one read: it
    /// gives what the last read gave, again and again.
    /// </param>
    /// <param name="most">It is ended where there are more records.</param>
    /// <returns>The records that it wrote; null where there are more, or the kernel does not do that: for one process alone it does since 6.1.</returns>
    public List<T>? Run<T>(int pid, bool all, Func<T, T, bool> follows, int most = Most)
        where T : unmanaged
    {
        // union bpf_iter_link_info: tid, pid, pid_fd.
        uint* chosen = stackalloc uint[4] { all ? 0 : (uint)pid, all ? (uint)pid : 0, 0, 0 };

        // union bpf_attr of BPF_LINK_CREATE: program, target, kind, flags; pointer and length of the above.
        ulong* link = stackalloc ulong[4] { (uint)program, BPF_TRACE_ITER, (ulong)chosen, 16 };
        int linked = Bpf(BPF_LINK_CREATE, link, 32);
        if (linked < 0)
        {
            return null;
        }

        ulong* iterator = stackalloc ulong[1] { (uint)linked };
        int file = Bpf(BPF_ITER_CREATE, iterator, 8);
        _ = Libc.close(linked);
        if (file < 0)
        {
            return null;
        }

        List<T> found = [];
        byte[] buffer = LargeArrays<byte>.Pool.Rent(1 << 15);
        try
        {
            int have = 0;
            fixed (byte* p = buffer)
            {
                // What one read gives may end within a record.
                for (nint count; (count = Libc.read(file, p + have, (nuint)(buffer.Length - have))) != 0;)
                {
                    if (count < 0)
                    {
                        return null;
                    }

                    have += (int)count;
                    ReadOnlySpan<T> records = MemoryMarshal.Cast<byte, T>(buffer.AsSpan(0, have));
                    if (found.Count > 0 && records.Length > 0 && !follows(found[^1], records[0]))
                    {
                        break;
                    }

                    found.AddRange(records);
                    if (found.Count > most)
                    {
                        return null;
                    }

                    int used = records.Length * sizeof(T);
                    buffer.AsSpan(used, have - used).CopyTo(buffer);
                    have -= used;
                }
            }
        }
        finally
        {
            _ = Libc.close(file);
            LargeArrays<byte>.Pool.Return(buffer);
        }

        return found;
    }

    private static int Bpf(int command, void* attributes, int size) => (int)Libc.Call(SysBpf, command, (long)attributes, size);
}
