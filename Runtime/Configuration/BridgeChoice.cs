namespace Holdfast.Runtime.Configuration;

/// <summary>Which bridge to the kernel captures applications.</summary>
internal enum BridgeChoice
{
    /// <summary>The device where it can, else ptrace.</summary>
    Auto,

    /// <summary>The one that needs no kernel module.</summary>
    Ptrace,

    /// <summary>The one over /dev/ckpt.</summary>
    Device,
}
