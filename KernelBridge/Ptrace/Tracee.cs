using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Ptrace;

/// <summary>One seized thread. Belongs to the OS thread that seized it.</summary>
internal sealed class Tracee
{
    /// <summary>The signals of job control that stop a process.</summary>
    public static readonly int[] JobSignals = [Libc.SIGSTOP, Libc.SIGTSTP, Libc.SIGTTIN, Libc.SIGTTOU];

    private const int StopSyscall = Libc.SIGTRAP | 0x80;

    // Of the signal-delivery stop in which the thread stands: the signal goes on with it.
    private int delivered;

    public Tracee(int pid, int tid)
    {
        Pid = pid;
        Tid = tid;
    }

    public int Pid { get; }

    public int Tid { get; }

    public bool Stands { get; private set; }

    public bool Gone { get; private set; }

    /// <summary>The signal of job control (SIGSTOP, SIGTSTP…) by which it stood before it was stopped here, or 0.</summary>
    public int StoppedBy { get; private set; }

    /// <summary>The process or thread that it last made under PTRACE_O_TRACECLONE, as the host numbers it; 0 for none.</summary>
    public int Born { get; set; }

    /// <summary>Seizes a thread that nobody traces.</summary>
    /// <returns>False when the thread is gone.</returns>
    /// <exception cref="BridgeException">Someone else traces it, or it may not be traced.</exception>
    public static Tracee? Seize(int pid, int tid, int options)
    {
        int error = PtraceCall.Seize(tid, options);
        switch (error)
        {
            case 0:
                return new Tracee(pid, tid);
            case Errno.ESRCH:
                return null;
            case Errno.EPERM:
                ProcessStatus? status = ProcessStatus.TryRead(tid);
                if (status is null || status["State"] is ['Z' or 'X', ..])
                {
                    return null;
                }

                throw status.Number("TracerPid") is > 0 and int tracer
                    ? new BridgeException(
                        "process.traced", $"seizing thread {tid} of process {pid}", $"process {tracer} ({ProcessStat.TryRead(tracer)?.Name}) traces it", "end the debugger")
                    : Yama.ForbidsAll ? new BridgeException(Yama.Code, $"seizing thread {tid} of process {pid}", "kernel.yama.ptrace_scope is 3: nobody may", Yama.Remedy)
                    : new BridgeException("rights.missing", $"seizing thread {tid} of process {pid}", "not permitted", "run as root or with CAP_SYS_PTRACE");
            default:
                throw new BridgeException("ptrace.failed", $"seizing thread {tid} of process {pid}", Errno.Text(error));
        }
    }

    /// <summary>A thread that the kernel attached by itself, since its parent is traced with PTRACE_O_TRACEFORK or TRACECLONE.</summary>
    public static Tracee Inherited(int pid, int tid) => new(pid, tid);

    public void Interrupt()
    {
        int error = PtraceCall.Interrupt(Tid);
        if (error is not (0 or Errno.ESRCH))
        {
            throw new BridgeException("ptrace.failed", $"interrupting thread {Tid}", Errno.Text(error));
        }
    }

    /// <summary>Waits until an interrupted thread stands; signals that arrive before are delivered as they would have been.</summary>
    /// <param name="deadline">Environment.TickCount64 at which to give up.</param>
    /// <returns>False when the thread ended instead.</returns>
    /// <exception cref="BridgeException"><c>freeze.timeout</c>.</exception>
    public bool WaitUntilStands(long deadline)
    {
        int rounds = 0;
        while (!Stands && !Gone)
        {
            WaitStatus status = Poll();
            if (status.None)
            {
                if (Environment.TickCount64 > deadline)
                {
                    ProcessStat? stat = ProcessStat.TryReadThread(Pid, Tid);
                    string waits = ProcFs.TryText($"/proc/{Pid}/task/{Tid}/wchan") ?? "?";
                    throw new BridgeException(
                        "freeze.timeout", $"stopping thread {Tid} of process {Pid} ({stat?.Name})", $"it did not stand in time (state {stat?.State}, in {waits})",
                        "it may wait for a child of vfork or for a slow device: try again, or give a longer --timeout");
                }

                // A thread usually stands within 0.2 ms: look often first, then seldom. Asleep in between, since it may need this processor to get there.
                _ = Libc.usleep(rounds++ < 50 ? 20u : 200u);
                continue;
            }

            if (status.Ended)
            {
                Gone = true;
            }
            else if (status.Event == PtraceCall.EventStop)
            {
                Stands = true;
                StoppedBy = JobSignals.Contains(status.Signal) ? status.Signal : 0;
            }
            else
            {
                _ = PtraceCall.Continue(Tid, status.Event == 0 && status.Signal != StopSyscall ? status.Signal : 0);
            }
        }

        return Stands;
    }

    /// <summary>
    /// Runs from one stop to the next system-call stop. All signals that can be blocked are blocked meanwhile; one of job control takes effect at once, for the
    /// kernel then keeps the order of SIGSTOP and SIGCONT, stops the process when it is released, and does so too when the tracer dies.
    /// </summary>
    public void RunToSyscallStop()
    {
        while (true)
        {
            int error = PtraceCall.ContinueToSyscall(Tid, Delivered());
            WaitStatus status = error == 0 ? Wait() : throw ThreadGone();
            if (status.Signal == StopSyscall && status.Event == 0 && !status.Ended)
            {
                return;
            }

            Pass(status);
        }
    }

    /// <summary>Runs until a stop that PTRACE_INTERRUPT asks for, in which the kernel restarts interrupted system calls.</summary>
    public void RunToInterruptStop()
    {
        Interrupt();
        while (true)
        {
            int error = PtraceCall.Continue(Tid, Delivered());
            WaitStatus status = error == 0 ? Wait() : throw ThreadGone();
            if (status.Event == PtraceCall.EventStop && !status.Ended)
            {
                return;
            }

            Pass(status);
        }
    }

    /// <summary>
    /// Brings the thread, and so its process once all threads came to that, to the stop of a signal of job control. It may be let run again under ptrace; when it is
    /// released it stops again before its next instruction, and tells nobody.
    /// </summary>
    /// <param name="signal">The signal; 0 when another thread has taken it.</param>
    /// <returns>Whether it is in such a stop: SIGTSTP and its like have no effect in an orphaned process group.</returns>
    public bool RunToJobStop(int signal)
    {
        if (signal != 0)
        {
            // The only one that cannot be blocked; it can be exchanged where it is about to be delivered.
            _ = Libc.tgkill(Pid, Tid, Libc.SIGSTOP);
            for (WaitStatus status = RunToStop(); status.Event != 0 || status.Signal != Libc.SIGSTOP; status = RunToStop())
            {
                if (status.Ended)
                {
                    throw ThreadGone();
                }
            }
        }

        Interrupt();
        int error = PtraceCall.Continue(Tid, signal);
        for (WaitStatus status = error == 0 ? Wait() : throw ThreadGone(); ; status = RunToStop())
        {
            if (status.Ended)
            {
                throw ThreadGone();
            }

            if (status.Event == PtraceCall.EventStop)
            {
                return JobSignals.Contains(status.Signal);
            }
        }
    }

    /// <summary>Lets the thread run; <see cref="InterruptWhen"/> follows.</summary>
    public void Run()
    {
        if (PtraceCall.Continue(Tid, Delivered()) != 0)
        {
            throw ThreadGone();
        }
    }

    /// <summary>Waits until something holds of a thread that runs, and asks it to stop; <see cref="AwaitInterruptStop"/> follows.</summary>
    public void InterruptWhen(Func<bool> holds)
    {
        int error = 0;
        for (int rounds = 0; error == 0 && !holds(); rounds++)
        {
            WaitStatus status = Poll();
            if (!status.None)
            {
                Pass(status);
                error = PtraceCall.Continue(Tid, Delivered());
            }
            else if (rounds > 20)
            {
                _ = Libc.usleep(20);
            }
        }

        if (error != 0)
        {
            throw ThreadGone();
        }

        Interrupt();
    }

    /// <summary>Waits until it stands in the stop of PTRACE_INTERRUPT that it was asked for.</summary>
    public void AwaitInterruptStop()
    {
        for (WaitStatus status = Wait(); status.Ended || status.Event != PtraceCall.EventStop; status = Wait())
        {
            Pass(status);
            if (PtraceCall.Continue(Tid, Delivered()) != 0)
            {
                throw ThreadGone();
            }
        }
    }

    /// <summary>Continues and returns the next stop, whatever it is.</summary>
    public WaitStatus RunToStop()
    {
        int error = PtraceCall.Continue(Tid);
        WaitStatus status = error == 0 ? Wait() : throw ThreadGone();
        if (status.Ended)
        {
            Gone = true;
            Stands = false;
        }

        return status;
    }

    /// <summary>Runs until it has made a process or a thread under PTRACE_O_TRACECLONE, which is <see cref="Born"/> then.</summary>
    /// <returns>False when it ended instead.</returns>
    public bool RunToBirth()
    {
        for (Born = 0; Born == 0;)
        {
            int error = PtraceCall.Continue(Tid, Delivered());
            WaitStatus status = error == 0 ? Wait() : throw ThreadGone();
            if (status.Ended)
            {
                return false;
            }

            Note(status);
        }

        return true;
    }

    /// <summary>Waits for the next stop of a thread that runs already.</summary>
    public WaitStatus Wait()
    {
        while (true)
        {
            WaitStatus status = Collect(0);
            if (!status.None)
            {
                Stands = !status.Ended;
                Gone = status.Ended;
                return status;
            }
        }
    }

    /// <summary>Lets the thread go on untraced.</summary>
    /// <returns>
    /// False for one that was asked to stand and does not yet, as while it waits for a child of vfork(2): only one that stands can be let go (ptrace(2), PTRACE_DETACH). It will stand as soon
    /// as it can, and is let go when the OS thread that seized it ends.
    /// </returns>
    public bool Release()
    {
        // ESRCH: killed meanwhile, which is nobody's fault; or it does not stand.
        if (!Gone && PtraceCall.Detach(Tid, Delivered()) != 0 && !Stands && ProcessStat.TryReadThread(Pid, Tid) is { State: not ('Z' or 'X') })
        {
            return false;
        }

        Stands = false;
        Gone = true;
        return true;
    }

    private void Pass(WaitStatus status)
    {
        if (status.Ended)
        {
            Gone = true;
            Stands = false;
            throw ThreadGone();
        }

        Note(status);
    }

    private void Note(WaitStatus status)
    {
        if (status.Event is PtraceCall.EventFork or PtraceCall.EventVfork or PtraceCall.EventClone)
        {
            Born = (int)PtraceCall.EventMessage(Tid);
        }

        if (status.Event != 0 || status.Signal == StopSyscall)
        {
            return;
        }

        // SIGSTOP is the only one that cannot be blocked; anything else is a fault of the injected call.
        delivered = status.Signal == Libc.SIGSTOP
            ? status.Signal
            : throw new BridgeException("inject.fault", $"a system call inside thread {Tid} of process {Pid}", $"it took signal {status.Signal}");
    }

    private int Delivered()
    {
        int signal = delivered;
        delivered = 0;
        return signal;
    }

    private WaitStatus Poll() => Collect(Libc.WNOHANG);

    private unsafe WaitStatus Collect(int options)
    {
        int status;
        int result = Libc.waitpid(Tid, &status, options | Libc.WALL);
        return result switch
        {
            > 0 => new WaitStatus(status),
            0 => default,
            _ when Libc.LastError == Errno.EINTR => default,

            // Not ours to wait for any more: a thread that execve() in a sibling replaced.
            _ => new WaitStatus(0),
        };
    }

    private BridgeException ThreadGone() => new("process.gone", $"thread {Tid} of process {Pid}", "it ended");
}

/// <summary>The status word of waitpid(2).</summary>
internal readonly struct WaitStatus
{
    private readonly int raw;
    private readonly bool present;

    public WaitStatus(int status)
    {
        raw = status;
        present = true;
    }

    /// <summary>Nothing happened yet.</summary>
    public bool None => !present;

    public bool Ended => present && (raw & 0xff) != 0x7f;

    public int Raw => raw;

    /// <summary>The signal of a stop.</summary>
    public int Signal => (raw >> 8) & 0xff;

    /// <summary>The PTRACE_EVENT of a stop, or 0.</summary>
    public int Event => raw >> 16;

    public override string ToString() => $"0x{raw:x}";
}
