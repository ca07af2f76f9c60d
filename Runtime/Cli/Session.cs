using Holdfast.KernelBridge;
using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli;

/// <summary>What every command works with: the store, the settings (read when first needed), the bridge and the output.</summary>
internal sealed class Session : IDisposable
{
    private readonly Lazy<Store> _store;
    private readonly string? _keyFile;
    private HoldfastSettings? _settings;
    private IKernelBridge? _bridge;

    public Session(string? storeRoot, string? keyFile, Output output)
    {
        Output = output;
        _keyFile = keyFile ?? (Environment.GetEnvironmentVariable("HOLDFAST_KEY_FILE") is { Length: > 0 } named ? named : null);
        _store = new Lazy<Store>(() => new Store(storeRoot ?? Store.DefaultRoot(), StoreOptions));
    }

    public Store Store => _store.Value;

    public Output Output { get; }

    public HoldfastSettings Settings => _settings ??= HoldfastSettings.Load(Store.Root);

    public IKernelBridge Bridge => _bridge ??= Hosting.Bridges.Create(Settings);

    /// <summary>
    /// Before something that takes rights over applications: an ordinary user's command begins again in a user namespace where it has them, so nothing may have been done yet
    /// that a second time would do harm.
    /// </summary>
    /// <param name="application">The application that runs and is meant; null for one that is to be started.</param>
    public static void RequireRights(ApplicationTarget? application = null)
    {
        if (!Authority.Own.Supervises)
        {
            Hosting.DiagnosticFiles.Remove();
            Authority.Own.Enter(application);
        }
    }

    /// <summary>How a store is opened: quota and reserve as configured; the key that --key, HOLDFAST_KEY_FILE or the configuration name.</summary>
    public StoreOptions StoreOptions() => new()
    {
        Key = KeyFrom(_keyFile ?? Settings.Storage.KeyFile),
        Quota = Settings.Storage.Quota,
        MinimumFree = Settings.Storage.MinimumFree,
    };

    public static StoreKey? KeyFrom(string? file) => file is null ? null : StoreKey.FromFile(file);

    public void Dispose()
    {
        if (_store.IsValueCreated)
        {
            _store.Value.Dispose();
        }
    }
}
