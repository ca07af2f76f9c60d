using Akka.Configuration;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Protection;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Configuration;

/// <summary>The settings of Hocon/reference.conf, read and checked.</summary>
internal sealed record HoldfastSettings
{
    public required Config Config { get; init; }

    public required CheckpointSettings Checkpoints { get; init; }

    /// <summary>Private memory of a process, in bytes, up to which it is held by the supervisor instead of copied, when it goes on.</summary>
    public required long HoldUpTo { get; init; }

    /// <summary>Whether processors are kept from halting for the moments of a checkpoint or a restore.</summary>
    public required bool KeepProcessorsAwake { get; init; }

    /// <summary>The bridge to the kernel.</summary>
    public required BridgeChoice Bridge { get; init; }

    public required RestoreSettings Restores { get; init; }

    /// <summary>Bytes a second that a lazy restore loads without being asked for, at most; null for no limit.</summary>
    public required long? LoadingRate { get; init; }

    public required TimeSpan StopGrace { get; init; }

    public required TimeSpan ConnectTimeout { get; init; }

    public required ProtectionSettings Protection { get; init; }

    public required StorageSettings Storage { get; init; }

    public required Supervision.HookSettings Hooks { get; init; }

    /// <summary>Whether applications are run with the interceptor.</summary>
    public required bool Intercept { get; init; }

    /// <summary>Reads the file that HOLDFAST_CONFIG names, else <c>STORE/holdfast.conf</c> if there is one, over the defaults.</summary>
    public static HoldfastSettings Load(string storeRoot)
    {
        string? named = Environment.GetEnvironmentVariable("HOLDFAST_CONFIG");
        string path = string.IsNullOrEmpty(named) ? Path.Combine(storeRoot, "holdfast.conf") : named;
        if (string.IsNullOrEmpty(named) && !File.Exists(path))
        {
            return From(null, path);
        }

        try
        {
            return From(File.ReadAllText(path), path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HoldfastException("config.unreadable", $"{path} cannot be read: {e.Message}", ExitStatus.Usage, e);
        }
    }

    /// <summary>Reads a text over the defaults.</summary>
    /// <param name="text">HOCON, or null for the defaults alone.</param>
    /// <param name="source">What errors call it.</param>
    public static HoldfastSettings From(string? text, string source)
    {
        Config reference = ConfigurationFactory.ParseString(Reference());
        Config own = ConfigurationFactory.Empty;
        if (text is not null)
        {
            try
            {
                own = ConfigurationFactory.ParseString(text);
            }
            catch (Exception e)
            {
                throw Wrong($"{source} is not valid HOCON: {e.Message}", e);
            }

            ConfigurationKeys.RefuseUnknown(own, reference, source);
        }

        Config config = own.WithFallback(reference);
        Config checkpoint = config.GetConfig("holdfast.checkpoint");
        int pumps = Integer(checkpoint, "holdfast.checkpoint", "parallel-pumps", 0, 1024);
        return new HoldfastSettings
        {
            Config = config,
            Checkpoints = new CheckpointSettings
            {
                Mode = checkpoint.GetString("capture") switch
                {
                    "frozen-copy" => CaptureMode.FrozenCopy,
                    "inside-freeze" => CaptureMode.CopyInsideFreeze,
                    var other => throw Wrong($"holdfast.checkpoint.capture is '{other}': frozen-copy and inside-freeze are possible"),
                },
                TrackWrites = checkpoint.GetString("track-writes") switch
                {
                    // HOCON's words for booleans.
                    "on" or "true" or "yes" => WriteTracking.On,
                    "off" or "false" or "no" => WriteTracking.Off,
                    "verify" => WriteTracking.Verify,
                    var other => throw Wrong($"holdfast.checkpoint.track-writes is '{other}': on, off and verify are possible"),
                },
                PreCopyRounds = Integer(checkpoint, "holdfast.checkpoint", "pre-copy-rounds", 0, 100),
                PreCopyFrom = StorageSettings.Bytes(checkpoint, "holdfast.checkpoint", "pre-copy-from"),
                ParallelPumps = pumps == 0 ? Environment.ProcessorCount : pumps,
                Timeout = Time(checkpoint, "holdfast.checkpoint", "timeout"),
                WithoutTheLate = config.GetString("holdfast.intercept.late") switch
                {
                    "refuse" => false,
                    "go-on" => true,
                    var other => throw Wrong($"holdfast.intercept.late is '{other}': refuse and go-on are possible"),
                },
                RetryFor = Time(checkpoint, "holdfast.checkpoint", "retry-for"),
                ProgressInterval = Time(checkpoint, "holdfast.checkpoint", "progress-interval"),
                Deadlines = Deadlines<CheckpointPhase>(config, "holdfast.checkpoint.deadlines", CheckpointPhase.End, CheckpointPhase.Finish),
            },
            Intercept = OnOrOff(config, "holdfast.intercept.enabled"),
            Bridge = config.GetString("holdfast.bridge") switch
            {
                "auto" => BridgeChoice.Auto,
                "ptrace" => BridgeChoice.Ptrace,
                "device" => BridgeChoice.Device,
                var other => throw Wrong($"holdfast.bridge is '{other}': auto, ptrace and device are possible"),
            },
            KeepProcessorsAwake = OnOrOff(config, "holdfast.keep-processors-awake"),
            HoldUpTo = StorageSettings.Bytes(checkpoint, "holdfast.checkpoint", "hold-up-to"),
            Restores = new RestoreSettings { Deadlines = Deadlines<RestoreStep>(config, "holdfast.restore.deadlines", RestoreStep.Finish) },
            LoadingRate = config.GetString("holdfast.restore.loading-rate") == "unlimited" ? null : Math.Max(1, StorageSettings.Bytes(config.GetConfig("holdfast.restore"), "holdfast.restore", "loading-rate")),
            Storage = StorageSettings.From(config),
            Hooks = new Supervision.HookSettings
            {
                ForAll = [.. Supervision.Hooks.Stages.SelectMany(stage => config.GetStringList($"holdfast.hooks.{stage}").Select(file => $"{stage}={file}"))],
                Timeout = Time(config.GetConfig("holdfast.hooks"), "holdfast.hooks", "timeout"),
            },
            StopGrace = Time(config.GetConfig("holdfast.supervision"), "holdfast.supervision", "stop-grace"),
            ConnectTimeout = Time(config.GetConfig("holdfast.supervision"), "holdfast.supervision", "connect-timeout"),
            Protection = new ProtectionSettings
            {
                Reserve = Time(config.GetConfig("holdfast.policies"), "holdfast.policies", "reserve"),
                RetryFirst = Time(config.GetConfig("holdfast.policies"), "holdfast.policies", "retry-first"),
                RetryLast = Time(config.GetConfig("holdfast.policies"), "holdfast.policies", "retry-last"),
                Watch = Time(config.GetConfig("holdfast.policies"), "holdfast.policies", "watch"),
                CollectGarbage = Time(config.GetConfig("holdfast.policies"), "holdfast.policies", "collect-garbage"),
            },
        };
    }

    private static string Reference()
    {
        using Stream stream = typeof(HoldfastSettings).Assembly.GetManifestResourceStream("reference.conf")!;
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    private static Dictionary<TStep, TimeSpan> Deadlines<TStep>(Config config, string path, params TStep[] without)
        where TStep : struct, Enum
    {
        Config deadlines = config.GetConfig(path);
        return Enum.GetValues<TStep>().Except(without).ToDictionary(s => s, s => Time(deadlines, path, s.ToString().ToLowerInvariant()));
    }

    private static TimeSpan Time(Config config, string path, string key)
    {
        TimeSpan time;
        try
        {
            time = config.GetTimeSpan(key, null, false);
        }
        catch (Exception e)
        {
            throw Wrong($"{path}.{key} is '{config.GetString(key)}': a duration such as 30s or 250ms is expected", e);
        }

        // Timers end at 2^32 - 2 ms.
        return time > TimeSpan.Zero && time <= TimeSpan.FromDays(40)
            ? time
            : throw Wrong($"{path}.{key} is {config.GetString(key)}: it must be above 0 and at most 40 days");
    }

    private static bool OnOrOff(Config config, string key) => config.GetString(key) switch
    {
        "on" => true,
        "off" => false,
        var other => throw Wrong($"{key} is '{other}': on or off is expected"),
    };

    private static int Integer(Config config, string path, string key, int least, int most) =>
        int.TryParse(config.GetString(key), out int value) && value >= least && value <= most
            ? value
            : throw Wrong($"{path}.{key} is '{config.GetString(key)}': a number from {least} to {most} is expected");

    private static HoldfastException Wrong(string message, Exception? inner = null) => new("config.invalid", message, ExitStatus.Usage, inner);
}
