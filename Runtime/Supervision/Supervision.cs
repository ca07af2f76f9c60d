using System.Globalization;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Protection;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Supervision;

/// <summary>What a supervising process is to do.</summary>
internal sealed record SupervisionOrder
{
    public required ApplicationDirectory Directory { get; init; }

    /// <summary>Held already.</summary>
    public required ApplicationLock Lock { get; init; }

    /// <summary>The record, but for what is known once it runs.</summary>
    public required ApplicationRecord Template { get; init; }

    public required StartApplication Start { get; init; }

    /// <summary>True when <see cref="Start"/> adopts the application of the template, with what it still has to load.</summary>
    public bool Adopts { get; init; }

    public TimeSpan? Every { get; init; }

    /// <summary>Policies to assign before it runs.</summary>
    public IReadOnlyList<PolicyText> Policies { get; set; } = [];

    /// <summary>Called once it runs, with what a hook said that failed then, or null.</summary>
    public required Action<ApplicationStarted, string?> Started { get; init; }

    /// <summary>True when the directory is to go again if the start fails; it stays once it says that volumes were put back.</summary>
    public bool IsNew { get; init; }
}

/// <summary>A process that supervises an application from its start to its end: <c>run</c>, <c>restore</c> and <c>run --adopt</c>.</summary>
internal static class Supervision
{
    /// <summary>Supervises it.</summary>
    /// <returns>The application's exit status.</returns>
    public static async Task<int> RunAsync(Session session, SupervisionOrder order)
    {
        using ApplicationLock held = order.Lock;
        using CancellationTokenSource interrupted = new();
        SupervisorHost? host = null;
        bool started = false;
        string? snapshot = null;
        Hosting.DiagnosticFiles.Remove();
        try
        {
            // From before the start on: what comes while the application is coming up is passed on as soon as it runs.
            PendingSignals pending = new(interrupted);
            SignalWatch.Forward(pending.Take);
            host = new SupervisorHost(session, session.Store.Snapshots(), order.Directory, order.Template, order.Every, tracks: true);
            ProgressLine progress = new(session.Output);
            host.OnProgress(progress.Show);
            host.OnPeriodicCheckpoint(outcome => Log(order.Directory, Describe(outcome)));
            await host.ProtectAsync(order.Policies).ConfigureAwait(false);
            snapshot = (order.Start as RestoreApplication) is null ? null : order.Template.RestoredFrom;
            if (snapshot is not null)
            {
                host.Hooks.BeforeRestore(snapshot);
            }

            if (snapshot is not null)
            {
                LazyMemory.Pin(session.Store.Snapshots(), order.Template);
            }

            host.OnLoading(report => LoadingWasReported(session, order, report));
            ApplicationStarted answer = await host.StartAsync(order.Adopts ? host.Adoption() : order.Start, interrupted.Token).ConfigureAwait(false);
            started = true;
            if (answer.Held is { } missing)
            {
                Log(order.Directory, $"memory that is still missing cannot be loaded, and is waited for: {missing.Message}");
            }

            pending.PassOn(host.Signal);
            session.Output.ClearProgress();
            host.OnProgress(null);
            using SupervisorServer server = SupervisorServer.Start(host, order.Directory.Socket, session.Settings.StopGrace);
            order.Started(answer, snapshot is null ? null : After(host.Hooks, true, snapshot));
            int status = await host.WaitForExitAsync().ConfigureAwait(false);
            host.RecordEnd(status);
            // Those who asked for the end are answered before the socket goes.
            await server.DrainAsync().ConfigureAwait(false);
            if (host.Lost is { } lost)
            {
                Log(order.Directory, $"ended, for memory that it still lacked cannot be loaded: {lost.Message}");
                throw new HoldfastException(lost);
            }

            return status < 0 ? ExitStatus.HoldfastFailed : status;
        }
        catch when (!started && order.IsNew && order.Directory.Read() is not { Volumes.Count: > 0 })
        {
            order.Directory.Delete();
            throw;
        }
        finally
        {
            if (!started && snapshot is not null)
            {
                if (order.Template.Loading is not null)
                {
                    LazyMemory.Unpin(session.Store.Snapshots(), order.Template);
                }

                _ = After(host!.Hooks, false, snapshot);
            }

            if (host is not null)
            {
                await host.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Runs what follows a restore.</summary>
    /// <returns>Why a hook failed, or null.</returns>
    private static string? After(Hooks hooks, bool restored, string snapshot)
    {
        try
        {
            hooks.AfterRestore(restored, snapshot);
            return null;
        }
        catch (BridgeException e)
        {
            return e.Message;
        }
    }

    private static void LoadingWasReported(Session session, SupervisionOrder order, LoadingReported report)
    {
        if (!report.Complete)
        {
            return;
        }

        LoadedJson loaded = new(
            order.Template.Name, order.Template.RestoredFrom ?? "", "loaded", Math.Round((TimeProvider.System.GetUtcNow() - order.Template.Started).TotalMilliseconds, 3),
            report.Progress.Loaded, report.Progress.Faults);
        session.Output.Remark(loaded, OutputJson.Default.LoadedJson, l => $"{l.Name}: all memory is loaded ({Output.Bytes(l.Bytes)}, waited for {l.Faults} times)");
        Log(order.Directory, $"all memory is loaded: {Output.Bytes(loaded.Bytes)}, waited for {loaded.Faults} times");
    }

    private static string Describe(object outcome) => outcome switch
    {
        CheckpointTaken t => string.Create(CultureInfo.InvariantCulture, $"checkpoint {t.Receipt.Snapshot}: frozen {t.FreezeTime.TotalMilliseconds:0.0} ms{(t.Warning is { } warning ? $"; warning: {warning}" : "")}"),
        CheckpointFailed f => $"checkpoint failed in {f.Failure.Phase}: {f.Failure.Message}",
        _ => outcome.ToString()!,
    };

    private static void Log(ApplicationDirectory directory, string text)
    {
        try
        {
            File.AppendAllText(directory.Log, string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.UtcNow:O} {text}\n"));
        }
        catch (IOException)
        {
            // A log that cannot be written is no reason to stop supervising.
        }
    }
}
