using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Processes that a signal of job control has stopped. Such a process can be made to run under ptrace, and stops again by itself when it is released, or when its
/// tracer dies (ptrace(2), <c>__ptrace_unlink</c> in <c>kernel/ptrace.c</c>): so it is captured as others are. A restored one is stopped while it is built, before its
/// parent has handlers: the parent waits for it then if it had been told of the stop, and the SIGCHLD of it is taken away.
/// </summary>
internal static class JobControl
{
    private const int P_PID = 1, WSTOPPED = 2, WNOHANG = 1;

    /// <summary>Stops a process that is being built; all of its threads stand.</summary>
    /// <param name="image">The process.</param>
    /// <param name="threads">Its threads, the first one first.</param>
    /// <exception cref="BridgeException">It did not stop.</exception>
    public static void Stop(ProcessImage image, IReadOnlyList<Tracee> threads)
    {
        // Who has been told does not ask for the signal again.
        Tracee first = threads[0];
        int signal = image.StopIsReported ? Libc.SIGSTOP : image.StoppedBy;
        ulong mask = PtraceCall.GetSignalMask(first.Tid);
        PtraceCall.SetSignalMask(first.Tid, 0);
        bool stopped = first.RunToJobStop(signal) || first.RunToJobStop(Libc.SIGSTOP);
        PtraceCall.SetSignalMask(first.Tid, mask);
        foreach (Tracee thread in threads.Skip(1))
        {
            stopped &= thread.RunToJobStop(0);
        }

        if (!stopped)
        {
            throw new BridgeException("restore.call", $"stopping process {image.Pid} by signal {signal}", "it did not stop");
        }
    }

    /// <summary>Composes what its parent has to do then: to wait for it, if it had, and to forget the signal.</summary>
    /// <param name="image">The process.</param>
    /// <param name="pid">Its number for its parent.</param>
    /// <param name="parent">The parent's tape.</param>
    public static void Report(ProcessImage image, int pid, SyscallTape parent)
    {
        if (image.StopIsReported)
        {
            parent.AddWith($"waiting for stopped process {image.Pid}", X64.Waitid, TapeFlags.None, P_PID, (ulong)pid, parent.Reserve(128), WSTOPPED | WNOHANG, 0);
        }

        // It may come a moment after the stop.
        ForgetChildSignal(parent, 1);
    }

    /// <summary>Composes what takes a SIGCHLD away, which is blocked.</summary>
    /// <param name="tape">The parent's.</param>
    /// <param name="seconds">How long it may take until it is there, 0 when it must be there already.</param>
    public static void ForgetChildSignal(SyscallTape tape, long seconds = 0) =>
        tape.AddWith("forgetting SIGCHLD", X64.RtSigtimedwait, TapeFlags.MayFail, tape.Place(1ul << (Libc.SIGCHLD - 1)), 0, tape.Place((seconds, 0L)), 8);
}
