namespace Holdfast.KernelBridge.Linux;

/// <summary>Reads and writes another process's memory; see process_vm_readv(2) and proc(5) on /proc/PID/mem. Several threads may read at once.</summary>
internal sealed unsafe class TargetMemory(int pid) : IDisposable
{
    private int memory = -1;

    /// <summary>Reads as the process itself could; the number of bytes that were readable.</summary>
    public int TryRead(ulong address, Span<byte> into)
    {
        fixed (byte* p = into)
        {
            Libc.Iovec local = new() { Base = (ulong)p, Length = (ulong)into.Length };
            Libc.Iovec remote = new() { Base = address, Length = (ulong)into.Length };
            return (int)Libc.process_vm_readv(pid, &local, 1, &remote, 1, 0);
        }
    }

    /// <summary>Reads through any protection (PROT_NONE too).</summary>
    /// <exception cref="BridgeException"><c>memory.unreadable</c>.</exception>
    public void Read(ulong address, Span<byte> into)
    {
        if (TryRead(address, into) == into.Length)
        {
            return;
        }

        Forced(address, into.Length, (p, count, offset) => Libc.pread(memory, p, count, offset), into, "reading");
    }

    /// <summary>
    /// As <see cref="Read(ulong, Span{byte})"/>, for much of it. Calls that pin pages, as process_vm_readv(2) does, are given a copy of the process's own of each anonymous page that it shares
    /// with another one since a fork (mm/gup.c, gup_must_unshare): twice the time, and the memory once more. A read of /proc/PID/mem is not.
    /// </summary>
    /// <exception cref="BridgeException"><c>memory.unreadable</c>.</exception>
    public void ReadMuch(ulong address, Span<byte> into)
    {
        Open();
        fixed (byte* p = into)
        {
            int done = 0;
            while (done < into.Length && Libc.pread(memory, p + done, (nuint)(into.Length - done), (long)address + done) is > 0 and nint count)
            {
                done += (int)count;
            }

            if (done < into.Length)
            {
                Read(address + (ulong)done, into[done..]);
            }
        }
    }

    public T Read<T>(ulong address)
        where T : unmanaged
    {
        T value;
        Read(address, new Span<byte>(&value, sizeof(T)));
        return value;
    }

    /// <summary>Writes through any protection of private memory.</summary>
    /// <exception cref="BridgeException"><c>memory.unwritable</c>.</exception>
    public void Write(ulong address, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            Libc.Iovec local = new() { Base = (ulong)p, Length = (ulong)data.Length };
            Libc.Iovec remote = new() { Base = address, Length = (ulong)data.Length };
            if (Libc.process_vm_writev(pid, &local, 1, &remote, 1, 0) == data.Length)
            {
                return;
            }

            Forced(address, data.Length, (q, count, offset) => Libc.pwrite(memory, q, count, offset), new Span<byte>(p, data.Length), "writing");
        }
    }

    public void Write<T>(ulong address, T value)
        where T : unmanaged => Write(address, new ReadOnlySpan<byte>(&value, sizeof(T)));

    public void Dispose()
    {
        if (memory >= 0)
        {
            _ = Libc.close(memory);
            memory = -1;
        }
    }

    private delegate nint Transfer(byte* p, nuint count, long offset);

    private void Forced(ulong address, int length, Transfer transfer, Span<byte> data, string doing)
    {
        Open();
        fixed (byte* p = data)
        {
            int done = 0;
            while (done < length)
            {
                nint count = transfer(p + done, (nuint)(length - done), (long)address + done);
                if (count <= 0)
                {
                    throw new BridgeException(
                        doing == "reading" ? "memory.unreadable" : "memory.unwritable", $"{doing} memory of process {pid} at 0x{address + (ulong)done:x}",
                        count == 0 ? "no such memory" : Errno.Text(Libc.LastError));
                }

                done += (int)count;
            }
        }
    }

    private void Open()
    {
        if (memory >= 0)
        {
            return;
        }

        // Several threads may read at once.
        int opened = Libc.open($"/proc/{pid}/mem", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (opened >= 0 && Interlocked.CompareExchange(ref memory, opened, -1) >= 0)
        {
            _ = Libc.close(opened);
        }
    }
}
