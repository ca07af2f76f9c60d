using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Holdfast.Actors;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Supervision;

/// <summary>When a hook is run.</summary>
internal enum HookStage
{
    /// <summary>Before a checkpoint stops the application: one that fails calls it off.</summary>
    BeforeFreeze,

    /// <summary>As soon as the application runs again after a checkpoint, or after one that failed.</summary>
    AfterResume,

    /// <summary>Before anything of a restore is built: one that fails calls it off.</summary>
    BeforeRestore,

    /// <summary>When the restored application runs, or its restore has failed.</summary>
    AfterRestore,
}

/// <summary>
/// The executables that an administrator has run around checkpoints and restores of an application: those of its own (<c>--hook</c>) behind those that the
/// configuration has for all (<c>holdfast.hooks</c>), one after the other.
/// </summary>
internal sealed class Hooks : IApplicationHooks
{
    private const string Failed = "hook.failed";

    // What of their output is kept for an error: the end of it.
    private const int KeptOutput = 2000;

    private static readonly Dictionary<string, HookStage> names = new()
    {
        ["before-freeze"] = HookStage.BeforeFreeze, ["after-resume"] = HookStage.AfterResume, ["before-restore"] = HookStage.BeforeRestore, ["after-restore"] = HookStage.AfterRestore,
    };

    private readonly IReadOnlyList<(HookStage Stage, string Program)> all;
    private readonly TimeSpan limit;
    private readonly Func<ApplicationRecord?> record;
    private readonly string store;
    private readonly string name;

    /// <summary>Makes those of one application.</summary>
    /// <param name="settings">Those of all applications, and the time that each may take.</param>
    /// <param name="own">Its own, each <c>STAGE=FILE</c>.</param>
    /// <param name="name">The application.</param>
    /// <param name="store">Its store.</param>
    /// <param name="record">What is known of it at that moment.</param>
    public Hooks(HookSettings settings, IReadOnlyList<string> own, string name, string store, Func<ApplicationRecord?> record)
    {
        all = [.. settings.ForAll.Concat(own).Select(Parse)];
        limit = settings.Timeout;
        this.name = name;
        this.store = store;
        this.record = record;
    }

    /// <summary>Whether there are any around a freeze.</summary>
    public bool AroundFreeze => all.Any(hook => hook.Stage is HookStage.BeforeFreeze or HookStage.AfterResume);

    /// <summary>What the command line and the configuration call a stage.</summary>
    public static IReadOnlyCollection<string> Stages => names.Keys;

    /// <summary>Checks a hook: its stage, and that it can be executed.</summary>
    /// <param name="hook"><c>STAGE=FILE</c>.</param>
    /// <returns>The same with the file's full path.</returns>
    /// <exception cref="HoldfastException"><c>hook.invalid</c>, or what is wrong with the file.</exception>
    public static string Checked(string hook)
    {
        int equals = hook.IndexOf('=', StringComparison.Ordinal);
        if (equals < 0 || !names.ContainsKey(hook[..equals]))
        {
            throw new HoldfastException("hook.invalid", $"'{hook}' is no hook: STAGE=FILE is expected, and STAGE one of {string.Join(", ", Stages)}", ExitStatus.Usage);
        }

        string file = Path.GetFullPath(hook[(equals + 1)..]);
        ProgramFile.Check(file);
        return $"{hook[..equals]}={file}";
    }

    public void BeforeFreeze(CancellationToken cancellation) => Run(HookStage.BeforeFreeze, null, null, cancellation);

    public void AfterResume(bool captured) => RunAll(HookStage.AfterResume, captured, null);

    /// <summary>Before a restore.</summary>
    /// <param name="snapshot">The snapshot.</param>
    /// <exception cref="BridgeException"><c>hook.failed</c> or <c>hook.timeout</c>.</exception>
    public void BeforeRestore(string snapshot) => Run(HookStage.BeforeRestore, null, snapshot, CancellationToken.None);

    /// <summary>After a restore, whatever became of it.</summary>
    /// <param name="restored">Whether the application runs.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <exception cref="BridgeException"><c>hook.failed</c> or <c>hook.timeout</c>; all others have been run.</exception>
    public void AfterRestore(bool restored, string snapshot) => RunAll(HookStage.AfterRestore, restored, snapshot);

    private static (HookStage Stage, string Program) Parse(string hook)
    {
        int equals = hook.IndexOf('=', StringComparison.Ordinal);
        return equals > 0 && names.TryGetValue(hook[..equals], out HookStage stage)
            ? (stage, hook[(equals + 1)..])
            : throw new HoldfastException("hook.invalid", $"'{hook}' is no hook");
    }

    private void Run(HookStage stage, bool? done, string? snapshot, CancellationToken cancellation)
    {
        foreach ((_, string program) in all.Where(hook => hook.Stage == stage))
        {
            Run(stage, program, done, snapshot, cancellation);
        }
    }

    /// <summary>Those that put something back: each has its turn, also after one that failed.</summary>
    private void RunAll(HookStage stage, bool done, string? snapshot)
    {
        BridgeException? first = null;
        foreach ((_, string program) in all.Where(hook => hook.Stage == stage))
        {
            try
            {
                Run(stage, program, done, snapshot, CancellationToken.None);
            }
            catch (BridgeException e)
            {
                first ??= e;
            }
        }

        if (first is not null)
        {
            throw first;
        }
    }

    private void Run(HookStage stage, string program, bool? done, string? snapshot, CancellationToken cancellation)
    {
        string called = names.First(pair => pair.Value == stage).Key;
        ApplicationRecord? known = record();
        ProcessStartInfo start = new(program)
        {
            WorkingDirectory = known?.WorkingDirectory is { } directory && Directory.Exists(directory) ? directory : "/",
        };
        start.Environment["HOLDFAST_HOOK"] = called;
        start.Environment["HOLDFAST_NAME"] = name;
        start.Environment["HOLDFAST_STORE"] = store;
        bool runs = stage is HookStage.BeforeFreeze or HookStage.AfterResume || (stage == HookStage.AfterRestore && done == true);
        if (runs && known is { MainPid: > 0 })
        {
            start.Environment["HOLDFAST_PID"] = known.MainPid.ToString(CultureInfo.InvariantCulture);
        }

        if (snapshot is not null)
        {
            start.Environment["HOLDFAST_SNAPSHOT"] = snapshot;
        }

        if (done is { } success)
        {
            start.Environment["HOLDFAST_RESULT"] = success ? "done" : "failed";
        }

        try
        {
            Tail tail = new();
            int? status = BoundedProcess.RunAsync(start, limit, tail.Add, cancellation).GetAwaiter().GetResult();
            if (status is null)
            {
                throw new BridgeException(
                    "hook.timeout", $"running the {called} hook {program}", $"it was not done within {limit.TotalSeconds:0.###} s and was killed{tail.Said}", "see holdfast.hooks.timeout");
            }

            if (status != 0)
            {
                throw new BridgeException(Failed, $"running the {called} hook {program}", $"it ended with status {status}{tail.Said}");
            }
        }
        catch (Win32Exception e)
        {
            throw new BridgeException(Failed, $"running the {called} hook {program}", e.Message, inner: e);
        }
    }

    /// <summary>The end of what a hook has written.</summary>
    private sealed class Tail
    {
        private readonly StringBuilder text = new();

        public string Said
        {
            get
            {
                lock (text)
                {
                    return text.Length == 0 ? "" : $" ({text.ToString().TrimEnd().Replace('\n', '|')})";
                }
            }
        }

        public void Add(string line)
        {
            lock (text)
            {
                text.Append(line).Append('\n');
                if (text.Length > KeptOutput)
                {
                    text.Remove(0, text.Length - KeptOutput);
                }
            }
        }
    }
}

/// <summary><c>holdfast.hooks</c>.</summary>
internal sealed record HookSettings
{
    /// <summary>Those of every application, each <c>STAGE=FILE</c>, in the order in which they are run.</summary>
    public required IReadOnlyList<string> ForAll { get; init; }

    /// <summary>What each may take.</summary>
    public required TimeSpan Timeout { get; init; }
}
