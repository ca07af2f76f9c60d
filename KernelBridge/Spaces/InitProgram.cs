namespace Holdfast.KernelBridge.Spaces;

/// <summary>The code of <c>init.c</c>.</summary>
internal static class InitProgram
{
    /// <summary>Where it is loaded unless the caller has a reason for another place.</summary>
    public const ulong DefaultBase = 0x2000_0000;

    /// <summary>The flat binary.</summary>
    public static byte[] Code { get; } = FlatProgram.Load("init.bin");

    /// <summary>The executable that has the code at this address.</summary>
    public static byte[] Executable(ulong baseAddress) => FlatProgram.Executable(Code, baseAddress);
}
