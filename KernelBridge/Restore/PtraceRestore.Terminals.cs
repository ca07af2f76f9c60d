using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.TerminalCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// Pseudo-terminals: made in the first process, under their numbers; taken as controlling terminals where a session begins, before it has members;
/// brought into their last state when nobody opens one any more.
/// </summary>
internal sealed partial class PtraceRestore
{
    /// <summary>Descriptor numbers that building terminals takes in the first process.</summary>
    private int TerminalNumbers => Image.Terminals.Count == 0 ? 0 : Image.Terminals.Max(terminal => terminal.Index) + 1 + 2 * Image.Terminals.Count;

    private void MakeTerminals(Stub root)
    {
        if (Image.Terminals.Count == 0)
        {
            return;
        }

        foreach (PseudoTerminalImage terminal in Image.Terminals)
        {
            context.Terminals[terminal.Index] = (context.Spare(), context.Spare());
        }

        // The kernel gives the lowest number that is free: all up to the highest are taken, and those in between given back.
        int count = Image.Terminals.Max(terminal => terminal.Index) + 1;
        int first = context.NextSpare;
        context.NextSpare += count;
        SyscallTape take = root.NewTape();
        ulong numbers = take.Reserve(count * 4);
        for (int i = 0; i < count; i++)
        {
            context.OpenAs(take, "/dev/ptmx", Libc.O_RDWR, first + i);
            take.Add("number of a terminal", X64.Ioctl, (ulong)(first + i), TIOCGPTN, numbers + (ulong)i * 4);
        }

        root.Run(take);
        byte[] taken = new byte[count * 4];
        root.Memory.Read(numbers, taken);
        int[] indices = MemoryMarshal.Cast<byte, int>(taken).ToArray();
        SyscallTape tape = root.NewTape();
        foreach (PseudoTerminalImage terminal in Image.Terminals)
        {
            int at = Array.IndexOf(indices, terminal.Index);
            if (at < 0)
            {
                throw new BridgeException("pty.taken", $"making /dev/pts/{terminal.Index}", "the number is another terminal's", "close that terminal first");
            }

            Make(tape, terminal, first + at);
        }

        tape.Add("giving terminals back", X64.CloseRange, (ulong)first, (ulong)(first + count - 1), 0);
        root.Run(tape);
    }

    private void Make(SyscallTape tape, PseudoTerminalImage terminal, int made)
    {
        string what = $"/dev/pts/{terminal.Index}";
        (int master, int slave) = context.Terminals[terminal.Index];
        tape.Add($"placing the master of {what}", X64.Dup2, (ulong)made, (ulong)master);
        tape.Add($"unlocking {what}", X64.Ioctl, (ulong)master, TIOCSPTLCK, tape.Place(0));
        if (terminal.Session != 0 || terminal.SlaveClosed || terminal.Output.Length > 0 || !terminal.Input.IsEmpty || Image.OpenFiles.OfType<TerminalSlaveImage>().Any(file => file.Terminal == terminal.Index))
        {
            tape.Add($"opening {what}", X64.Ioctl, (ulong)master, TIOCGPTPEER, (ulong)(Libc.O_RDWR | Libc.O_NOCTTY));
            RestoreContext.Place(tape, what, slave);
        }

        tape.Add($"settings of {what}", X64.Ioctl, (ulong)master, TCSETS2, tape.Place(terminal.Settings));
        tape.Add($"window size of {what}", X64.Ioctl, (ulong)master, TIOCSWINSZ, tape.Place(terminal.Window));
        tape.AddWith($"owner of {what}", X64.Chown, TapeFlags.MayFail, tape.Place(what), terminal.Owner, terminal.Group);
        tape.Add($"mode of {what}", X64.Chmod, tape.Place(what), terminal.Mode);
    }

    /// <summary>Composes what makes a terminal that of the session that a process has just begun; its children inherit it.</summary>
    private void AddControllingTerminal(SyscallTape tape, int leader)
    {
        if (Image.Terminals.FirstOrDefault(terminal => terminal.Session == leader) is { } terminal)
        {
            tape.Add($"/dev/pts/{terminal.Index} as controlling terminal of session {leader}", X64.Ioctl, (ulong)context.Terminals[terminal.Index].Slave, TIOCSCTTY, 0);
        }
    }

    /// <summary>Gives every controlling terminal its foreground group, and takes it from those that have none. All groups are there.</summary>
    private void SetForegroundGroups()
    {
        foreach (PseudoTerminalImage terminal in Image.Terminals.Where(terminal => terminal.Session != 0))
        {
            ulong slave = (ulong)context.Terminals[terminal.Index].Slave;
            if (terminal.Foreground != 0)
            {
                SyscallTape tape = stubs[terminal.Session].NewTape();
                tape.Add($"group {terminal.Foreground} in the foreground of /dev/pts/{terminal.Index}", X64.Ioctl, slave, TIOCSPGRP, tape.Place(PidNumbers.OfGroup(Image, Image.Processes.First(process => process.Pid == terminal.Session), terminal.Foreground)));
                stubs[terminal.Session].Run(tape);
            }

            foreach (int pid in terminal.Without)
            {
                SyscallTape tape = stubs[pid].NewTape();
                tape.Add($"process {pid} without /dev/pts/{terminal.Index}", X64.Ioctl, slave, TIOCNOTTY, 0);
                stubs[pid].Run(tape);
            }
        }
    }

    /// <summary>Brings them into their last state: output and input that wait, exclusive use, lock, packet mode.</summary>
    private void FinishTerminals()
    {
        if (Image.Terminals.Count == 0)
        {
            return;
        }

        SyscallTape output = stubs[plan.Root!.Pid].NewTape();
        foreach (PseudoTerminalImage terminal in Image.Terminals)
        {
            (int master, int slave) = context.Terminals[terminal.Index];
            if (terminal.Output.Length > 0)
            {
                string what = $"output in /dev/pts/{terminal.Index}";
                output.Add(what, X64.Ioctl, (ulong)master, TCSETS2, output.Place(TerminalOutput.WithoutProcessing(terminal.Settings)));
                output.Add(what, X64.Write, (ulong)slave, output.Place(terminal.Output), (ulong)terminal.Output.Length);
                output.Add(what, X64.Ioctl, (ulong)master, TCSETS2, output.Place(terminal.Settings));
            }
        }

        stubs[plan.Root!.Pid].Run(output);
        foreach (PseudoTerminalImage terminal in Image.Terminals.Where(terminal => !terminal.Input.IsEmpty))
        {
            PutInput(terminal);
        }

        SyscallTape tape = stubs[plan.Root!.Pid].NewTape();
        foreach (PseudoTerminalImage terminal in Image.Terminals)
        {
            (int master, int slave) = context.Terminals[terminal.Index];
            if (terminal.Exclusive)
            {
                tape.AddWith($"exclusive use of /dev/pts/{terminal.Index}", X64.Ioctl, TapeFlags.MayFail, (ulong)slave, TIOCEXCL, 0);
            }

            if (terminal.Locked)
            {
                tape.Add($"locking /dev/pts/{terminal.Index}", X64.Ioctl, (ulong)master, TIOCSPTLCK, tape.Place(1));
            }

            if (terminal.Packets)
            {
                tape.Add($"packet mode of /dev/pts/{terminal.Index}", X64.Ioctl, (ulong)master, TIOCPKT, tape.Place(1));
            }
        }

        stubs[plan.Root!.Pid].Run(tape);
    }

    private void PutInput(PseudoTerminalImage terminal)
    {
        string what = $"/dev/pts/{terminal.Index}";
        (int first, int second) = context.Terminals[terminal.Index];
        (int master, int error) = Libc.CopyDescriptor(stubs[plan.Root!.Pid].HostPid, first);
        (int slave, int other) = Libc.CopyDescriptor(stubs[plan.Root!.Pid].HostPid, second);
        try
        {
            if (master < 0 || slave < 0)
            {
                throw new BridgeException("pty.input", $"typing at {what}", Errno.Text(master < 0 ? error : other));
            }

            TerminalInput.Put(master, slave, what, terminal.Settings, terminal.Input);
        }
        finally
        {
            _ = Libc.close(master);
            _ = Libc.close(slave);
        }
    }
}
