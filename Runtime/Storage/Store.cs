using Holdfast.Runtime.Native;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>The directory that <c>--store</c> names: snapshots, and beside them <c>apps/</c> with a directory for each application.</summary>
/// <param name="root">The directory.</param>
/// <param name="options">Key, quota and the like, which cost a look at the configuration; null: the defaults.</param>
internal sealed class Store(string root, Func<StoreOptions>? options = null) : IDisposable
{
    /// <summary>The kind of storage object that an application is.</summary>
    public const string ApplicationKind = "application";

    private SnapshotStore? _snapshots;
    private SnapshotStore? _reading;

    public string Root { get; } = Path.GetFullPath(root);

    private string Applications => Path.Combine(Root, "apps");

    /// <summary>The store that is meant when none is named.</summary>
    public static string DefaultRoot()
    {
        string? named = Environment.GetEnvironmentVariable("HOLDFAST_STORE");
        if (!string.IsNullOrEmpty(named))
        {
            return named;
        }

        if (Libc.geteuid() == 0)
        {
            return "/var/lib/holdfast";
        }

        // XDG Base Directory Specification: a path that is not absolute is not one.
        string? data = Environment.GetEnvironmentVariable("XDG_DATA_HOME");
        string? home = Environment.GetEnvironmentVariable("HOME");
        return data is ['/', ..] ? Path.Combine(data, "holdfast")
            : home is ['/', _, ..] ? Path.Combine(home, ".local", "share", "holdfast")
            : throw new HoldfastException("store.unnamed", "no store is named, and this user has no home directory: give --store DIR or set HOLDFAST_STORE", ExitStatus.Usage);
    }

    /// <summary>The snapshots, for writing; the store is made when there is none.</summary>
    public SnapshotStore Snapshots() => _snapshots ??= Open(options?.Invoke() ?? new StoreOptions());

    /// <summary>The snapshots, for reading, or null when there is no store yet: reading must not make one.</summary>
    public SnapshotStore? ExistingSnapshots()
    {
        try
        {
            return _snapshots ?? (_reading ??= Open(ReadingOptions() with { Create = false }));
        }
        catch (SnapshotStoreException e) when (e.Code == "store.missing")
        {
            return null;
        }
    }

    /// <summary>The snapshots of a store that has to be there, with quota and reserve.</summary>
    public SnapshotStore RequiredSnapshots()
    {
        if (ExistingSnapshots() is null)
        {
            throw new HoldfastException("store.missing", $"there is no store in {Root}; name one with --store");
        }

        return Snapshots();
    }

    // Most stores are not encrypted: nothing of the configuration is needed to read them.
    private StoreOptions ReadingOptions() => options is not null && SnapshotStore.IsEncryptedAt(Root) ? options() : new StoreOptions();

    private SnapshotStore Open(StoreOptions with)
    {
        try
        {
            return SnapshotStore.Open(Root, with);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new HoldfastException("not_permitted", $"the store {Root} cannot be used: {e.Message}; name another with --store", ExitStatus.NotPermitted, e);
        }
    }

    public ApplicationDirectory Application(string name) =>
        new(Path.Combine(Applications, ApplicationName.Checked(name)), name);

    /// <summary>Every application that there is a record of, by name.</summary>
    public IEnumerable<(ApplicationDirectory Directory, ApplicationRecord Record)> AllApplications()
    {
        if (!Directory.Exists(Applications))
        {
            yield break;
        }

        foreach (string path in Directory.EnumerateDirectories(Applications).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(path);
            if (ApplicationName.IsValid(name) && Application(name) is var directory && directory.Read() is { } record)
            {
                yield return (directory, record);
            }
        }
    }

    /// <summary>The record of an application, or the error that there is none.</summary>
    public (ApplicationDirectory Directory, ApplicationRecord Record) Existing(string name)
    {
        ApplicationDirectory directory = Application(name);
        return directory.Read() is { } record
            ? (directory, record)
            : throw new HoldfastException("app.unknown", $"there is no application {name} in {Root}; 'holdfast list' shows those that are there");
    }

    /// <summary>Finds a snapshot by <c>NAME</c> or <c>NAME@WHICH</c>.</summary>
    public SnapshotInfo Snapshot(string address)
    {
        int at = address.IndexOf('@');
        ApplicationName.Checked(at < 0 ? address : address[..at]);
        SnapshotStore store = ExistingSnapshots()
            ?? throw new HoldfastException("store.missing", $"there is no store in {Root}; name one with --store");
        return store.FindAddress(address);
    }

    public void Dispose()
    {
        _snapshots?.Dispose();
        _reading?.Dispose();
    }
}
