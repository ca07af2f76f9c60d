using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Hosting;

/// <summary>Picks the bridge to the kernel.</summary>
internal static class Bridges
{
    public static IKernelBridge Create() => throw new HoldfastException("bridge.missing", "no bridge to the kernel is built in");
}
