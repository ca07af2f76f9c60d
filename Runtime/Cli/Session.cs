using Holdfast.KernelBridge;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Cli;

/// <summary>What every command works with: the store, the settings (read when first needed), the bridge and the output.</summary>
internal sealed class Session(string? storeRoot, Output output) : IDisposable
{
    private readonly Lazy<Store> _store = new(() => new Store(storeRoot ?? Store.DefaultRoot()));
    private HoldfastSettings? _settings;
    private IKernelBridge? _bridge;

    public Store Store => _store.Value;

    public Output Output { get; } = output;

    public HoldfastSettings Settings => _settings ??= HoldfastSettings.Load(Store.Root);

    public IKernelBridge Bridge => _bridge ??= Hosting.Bridges.Create();

    public void Dispose()
    {
        if (_store.IsValueCreated)
        {
            _store.Value.Dispose();
        }
    }
}
