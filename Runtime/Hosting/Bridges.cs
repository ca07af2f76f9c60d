using Holdfast.KernelBridge;
using Holdfast.Runtime.Configuration;

namespace Holdfast.Runtime.Hosting;

/// <summary>Picks the bridge to the kernel.</summary>
internal static class Bridges
{
    public static IKernelBridge Create(HoldfastSettings settings) => new PtraceBridge(settings.HoldUpTo);
}
