using Holdfast.KernelBridge;
using Holdfast.Runtime.Configuration;

namespace Holdfast.Runtime.Hosting;

/// <summary>Picks the bridge to the kernel.</summary>
internal static class Bridges
{
    public static IKernelBridge Create(HoldfastSettings settings)
    {
        PtraceBridge ptrace = new(settings.HoldUpTo) { LetsProcessorsSleep = !settings.KeepProcessorsAwake };
        CharDeviceBridge device = new(ptrace, settings.HoldUpTo);
        return settings.Bridge switch
        {
            BridgeChoice.Ptrace => ptrace,
            BridgeChoice.Device => device,
            _ => new ChosenBridge(ptrace, device),
        };
    }
}
