using System.Runtime.InteropServices;

namespace Holdfast.Runtime.Native;

/// <summary>Handles signals while it lives, without .NET's terminal handling, which would change the terminal's settings.</summary>
internal sealed class SignalWatch : IDisposable
{
    private const int SIGHUP = 1;
    private const int SIGINT = 2;
    private const int SIGQUIT = 3;
    private const int SIGUSR1 = 10;
    private const int SIGUSR2 = 12;
    private const int SIGWINCH = 28;

    private readonly List<PosixSignalRegistration> _registrations = [];

    private SignalWatch()
    {
    }

    /// <summary>
    /// Passes signals on to an application that runs in this process group, from now until this process ends. There is no way back: a
    /// signal that came before the application's end may be looked at after it, and would then end this process instead of being dropped.
    /// </summary>
    /// <param name="forward">Called with the signal's number, also when the application has ended.</param>
    public static void Forward(Action<int> forward)
    {
        SignalWatch watch = new();
        foreach (int signal in (int[])[SIGHUP, SIGUSR1, SIGUSR2, Libc.SIGTERM, SIGWINCH])
        {
            watch.Handle(signal, forward);
        }

        foreach (int signal in (int[])[SIGINT, SIGQUIT])
        {
            watch.Handle(signal, number =>
            {
                // A key on the terminal signals the whole foreground group, the application too: it must not get the signal twice.
                if (!IsForegroundOfTerminal())
                {
                    forward(number);
                }
            });
        }

        // A registration that nobody refers to is undone by its finalizer.
        watch._registrations.ForEach(GC.SuppressFinalize);
    }

    /// <summary>Cancels on SIGINT, SIGTERM and SIGHUP.</summary>
    public static SignalWatch Cancel(CancellationTokenSource source)
    {
        SignalWatch watch = new();
        foreach (int signal in (int[])[SIGINT, Libc.SIGTERM, SIGHUP])
        {
            watch.Handle(signal, _ => source.Cancel());
        }

        return watch;
    }

    public void Dispose() => _registrations.ForEach(r => r.Dispose());

    private static bool IsForegroundOfTerminal()
    {
        int terminal = Libc.open("/dev/tty", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (terminal < 0)
        {
            return false;
        }

        int group = Libc.tcgetpgrp(terminal);
        _ = Libc.close(terminal);
        return group == Libc.getpgrp();
    }

    private void Handle(int signal, Action<int> handler) =>
        _registrations.Add(PosixSignalRegistration.Create((PosixSignal)signal, context =>
        {
            context.Cancel = true;
            handler(signal);
        }));
}
