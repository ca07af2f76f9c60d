using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What a process does on signals (sigaction(2)), and the signals that wait for it with their siginfo (signal(7)).</summary>
internal sealed class SignalActions : IProcessResource
{
    private const int SIG_IGN = 1;

    /// <summary>Signals that have an action.</summary>
    private static readonly int[] Known = [.. Enumerable.Range(1, 64).Where(signal => signal is not (Libc.SIGKILL or Libc.SIGSTOP))];

    public IEnumerable<Refusal> Check(ProcessView view) => [];

    public void Capture(ProcessView view, IProcessState state, ProcessImage image)
    {
        List<SignalActionImage> actions = [];
        IReadOnlyList<KernelAction> all = state.SignalActions(Known);
        for (int i = 0; i < Known.Length; i++)
        {
            KernelAction action = all[i];
            if (action.Handler != 0 || action.Flags != 0 || action.Mask != 0)
            {
                actions.Add(new SignalActionImage(Known[i], action.Handler, action.Flags, action.Restorer, action.Mask));
            }
        }

        image.SignalActions = actions;
        image.PendingSignals = state.SharedSignals;
    }

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape)
    {
        // The stub inherits what its builder was started with; every signal is set, not only those of the image.
        Dictionary<int, SignalActionImage> actions = image.SignalActions.ToDictionary(action => action.Signal);
        for (int signal = 1; signal <= 64; signal++)
        {
            if (signal is not (Libc.SIGKILL or Libc.SIGSTOP or Libc.SIGTRAP))
            {
                Set(tape, signal, actions.GetValueOrDefault(signal));
            }
        }
    }

    /// <summary>Composes one sigaction(2).</summary>
    public static void Set(SyscallTape tape, int signal, SignalActionImage? action) =>
        tape.Add($"action of signal {signal}", X64.RtSigaction, (ulong)signal, tape.Place(KernelForm(action)), 0, 8);

    /// <summary>The action as <c>struct sigaction</c> of the kernel has it; the default action for null.</summary>
    public static KernelAction KernelForm(SignalActionImage? action) => action is null
        ? default
        : new KernelAction { Handler = action.Handler, Flags = action.Flags, Restorer = action.Restorer, Mask = action.Mask };

    /// <summary>Composes what puts pending signals back into the calling process, or into one thread of it.</summary>
    public static void Queue(SyscallTape tape, IReadOnlyList<byte[]> signals, int pid, int? tid)
    {
        foreach (byte[] info in signals)
        {
            ulong signal = MemoryMarshal.Read<uint>(info);
            if (tid is { } thread)
            {
                tape.Add($"pending signal {signal} of thread {thread}", X64.RtTgsigqueueinfo, (ulong)pid, (ulong)thread, signal, tape.Place(info));
            }
            else
            {
                tape.Add($"pending signal {signal} of process {pid}", X64.RtSigqueueinfo, (ulong)pid, signal, tape.Place(info));
            }
        }
    }

    /// <summary>Whether a thread will take a signal as soon as it runs: one that it neither blocks nor ignores by default is pending.</summary>
    public static bool IsDue(ProcessStatus thread) => ((thread.Mask("SigPnd") | thread.Mask("ShdPnd")) & ~thread.Mask("SigBlk")) != 0;

    /// <summary>Whether an action ignores its signal.</summary>
    public static bool Ignores(SignalActionImage? action) => action?.Handler == SIG_IGN;

    /// <summary><c>struct sigaction</c> of arch/x86/include/uapi/asm/signal.h as the system call has it.</summary>
    internal struct KernelAction
    {
        public ulong Handler;
        public ulong Flags;
        public ulong Restorer;
        public ulong Mask;
    }
}

/// <summary>What a process does on one signal.</summary>
/// <param name="Signal">1–64.</param>
/// <param name="Handler">Address, or 0 (SIG_DFL), 1 (SIG_IGN).</param>
/// <param name="Flags">SA_ flags.</param>
/// <param name="Restorer">Address that calls rt_sigreturn.</param>
/// <param name="Mask">Signals blocked meanwhile.</param>
internal sealed record SignalActionImage(int Signal, ulong Handler, ulong Flags, ulong Restorer, ulong Mask);
