namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Makes the bridge that the conformance suite looks at. A further bridge is a further factory and a class that derives from the suite.</summary>
public interface IBridgeFactory
{
    IKernelBridge Create();
}

/// <summary>The bridge that needs no kernel module.</summary>
public sealed class PtraceBridgeFactory : IBridgeFactory
{
    public IKernelBridge Create() => new PtraceBridge();
}
