using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>
/// The present state of an object, taken for a comparison or a migration: of an application inside the same barrier as a checkpoint, of a path
/// as <c>snapshot</c> would. No snapshot of it is kept.
/// </summary>
internal sealed class LiveState : IAsyncDisposable
{
    private readonly IApplicationControl? _application;

    private LiveState(LiveSnapshot state, IApplicationControl? application)
    {
        State = state;
        _application = application;
    }

    public LiveSnapshot State { get; }

    public static async Task<LiveState> TakeAsync(Session session, string name, CancellationToken cancellation)
    {
        ApplicationName.Checked(name);
        return session.Store.Application(name).Exists
            ? await OfApplicationAsync(session, name, cancellation).ConfigureAwait(false)
            : OfPath(session, name);
    }

    private static async Task<LiveState> OfApplicationAsync(Session session, string name, CancellationToken cancellation)
    {
        IApplicationControl application = await ApplicationAccess.OpenAsync(session, name, cancellation).ConfigureAwait(false);
        try
        {
            string manifest = await application.TakeLiveAsync(new ProgressLine(session.Output).Show, cancellation).ConfigureAwait(false);
            return new LiveState(LiveSnapshot.Open(session.Store.Snapshots(), manifest), application);
        }
        catch
        {
            await application.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static LiveState OfPath(Session session, string name)
    {
        SnapshotStore store = session.Store.RequiredSnapshots();
        SnapshotInfo last = store.Find(name);
        if (last.Kind == Store.ApplicationKind)
        {
            throw new HoldfastException("app.ended", $"{name} does not run here: it has no present state; 'holdfast restore {name}' brings it back");
        }

        string path = last.Tags.GetValueOrDefault(PathObject.PathTag)
            ?? throw new HoldfastException("object.path", $"it is not known of which path {last.Address} was taken; take a snapshot with 'holdfast snapshot PATH --name {name}' first");
        return new LiveState(StorageObject.CaptureLive(store, name, path, PathObject.Options(session, last.Kind == StorageObject.BlockKind, path)), null);
    }

    public async ValueTask DisposeAsync()
    {
        State.Dispose();
        if (_application is not null)
        {
            await _application.DisposeAsync().ConfigureAwait(false);
        }
    }
}
