using System.Globalization;
using System.Text.Json.Serialization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Timers that are read; see timerfd_create(2). What is left of one counts from the capture, as for <see cref="IntervalTimers"/>.</summary>
internal sealed class TimerFds : IDescriptorKind
{
    public const int TFD_TIMER_ABSTIME = 1;

    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("timerfd");

    public Refusal? Check(DescriptorFacts facts) => facts.Field("settime flags") is null ? facts.Refuse("fd.timerfd", "this kernel does not show its state", "close it before the checkpoint") : null;

    public OpenFileImage Capture(DescriptorFacts facts)
    {
        int clock = int.Parse(facts.Field("clockid")!, CultureInfo.InvariantCulture);
        int settime = Convert.ToInt32(facts.Field("settime flags")!, 8);
        bool wallClock = IsWallClock(clock, settime);
        (long interval, long left, ulong ticks) = facts.Ask(descriptor => Read(facts, descriptor));
        // Read after what is left: a timer may fire late, by what lies between the two, never early.
        long now = wallClock ? Libc.Nanoseconds(Libc.CLOCK_REALTIME) : Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) + HostFacts.ClockOffsets(facts.Pid).Monotonic;
        return new TimerFdImage
        {
            Flags = facts.Flags, Clock = clock, SettimeFlags = settime, Interval = interval, Ticks = ticks,
            Expires = left == 0 ? null : left > long.MaxValue - now ? long.MaxValue : now + left,
        };
    }

    /// <summary>Whether a time of the wall clock was asked for, which no outage moves.</summary>
    public static bool IsWallClock(int clock, int settimeFlags) => clock is 0 or 8 && (settimeFlags & TFD_TIMER_ABSTIME) != 0;

    /// <summary>Interval, what is left, nanoseconds, and how often it expired since it was read.</summary>
    private static unsafe (long Interval, long Left, ulong Ticks) Read(DescriptorFacts facts, int descriptor)
    {
        using IDisposable asked = ProcSnapshot.PassOver();
        long* value = stackalloc long[4];
        ulong before = ulong.MaxValue;
        for (int attempt = 0; ; attempt++)
        {
            // The question counts the periods that have passed, and arms a timer that stood still because nobody read it.
            if (Libc.timerfd_gettime(descriptor, value) < 0)
            {
                throw new BridgeException("fd.unreadable", $"looking at timer {facts.Number} of process {facts.InnerPid}", Errno.Text(Libc.LastError));
            }

            string info = ProcFs.Text($"/proc/{facts.Pid}/fdinfo/{facts.Number}");
            int at = info.IndexOf("ticks:", StringComparison.Ordinal) + 6;
            ulong ticks = ulong.Parse(info.AsSpan(at, info.IndexOf('\n', at) - at).Trim(), NumberStyles.None, CultureInfo.InvariantCulture);
            if (ticks == before || attempt == 8)
            {
                return (Nanoseconds(value[0], value[1]), Nanoseconds(value[2], value[3]), ticks);
            }

            // One that expired in between would be counted and yet be about to expire.
            before = ticks;
        }
    }

    private static long Nanoseconds(long seconds, long nanoseconds) => seconds >= long.MaxValue / 1_000_000_000 ? long.MaxValue : seconds * 1_000_000_000 + nanoseconds;
}

/// <summary>A timer that is read.</summary>
internal sealed record TimerFdImage : OpenFileImage
{
    private const ulong TFD_IOC_SET_TICKS = 0x40085400;

    // So that it does not expire before its earlier expirations are counted.
    private const long Least = 1_000_000;

    public required int Clock { get; init; }

    /// <summary>Flags of timerfd_settime(2).</summary>
    public required int SettimeFlags { get; init; }

    /// <summary>Nanoseconds; 0 for one that expires once.</summary>
    public required long Interval { get; init; }

    /// <summary>When it expires next, nanoseconds of the application's CLOCK_MONOTONIC, or of the wall clock when <see cref="SettimeFlags"/> say so; null for one that is not armed.</summary>
    public required long? Expires { get; init; }

    /// <summary>How often it has expired since it was read.</summary>
    public required ulong Ticks { get; init; }

    public override string Description => $"timer of clock {Clock}{(Expires is null ? ", not armed" : string.Empty)}, {Ticks} ticks";

    [JsonIgnore]
    private bool WallClock => TimerFds.IsWallClock(Clock, SettimeFlags);

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        long now = WallClock ? Libc.Nanoseconds(Libc.CLOCK_REALTIME) : context.Now;
        (long left, ulong ticks) = Due(now);
        long value = left == 0 ? 0 : WallClock ? now + left : left;
        tape.Add("making a timerfd", X64.TimerfdCreate, (ulong)Clock, 0);
        RestoreContext.Place(tape, "a timerfd", number);
        tape.Add(
            "arming a timerfd", X64.TimerfdSettime, (ulong)number, WallClock ? (ulong)SettimeFlags : 0,
            tape.Place((Math.DivRem(Interval, 1_000_000_000), Math.DivRem(value, 1_000_000_000))), 0);
        if (ticks > 0)
        {
            tape.Add("counting a timerfd's ticks", X64.Ioctl, (ulong)number, TFD_IOC_SET_TICKS, tape.Place(ticks));
        }

        RestoreContext.SetFlags(tape, "a timerfd", number, Flags);
    }

    /// <summary>What is left, and how often it has expired, at a given time.</summary>
    /// <returns>Nanoseconds, 0 for one that does not expire again; expirations.</returns>
    public (long Left, ulong Ticks) Due(long now)
    {
        if (Expires is not { } expires)
        {
            return (0, Ticks);
        }

        long left = expires - now;
        if (left > 0)
        {
            return (Math.Max(left, Least), Ticks);
        }

        if (Interval == 0)
        {
            return (0, Ticks + 1);
        }

        long missed = -left / Interval + 1;
        return (Math.Max(left + missed * Interval, Least), Ticks + (ulong)missed);
    }
}
