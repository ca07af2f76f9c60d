using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Hosting;

/// <summary>Picks the bridge to the kernel.</summary>
internal static class Bridges
{
    public static IKernelBridge Create() => new PtraceBridge();
}
