namespace Holdfast.KernelBridge.Resources;

/// <summary>Who knows of rings of asynchronous input and output what the kernel shows to nobody else: the module (CKPT_RING of ckpt(4)).</summary>
internal interface IRingKeeper
{
    /// <summary>What an io_uring is.</summary>
    /// <param name="ring">A descriptor of this process.</param>
    /// <returns>Null when the module does not know this kernel's.</returns>
    /// <exception cref="BridgeException"><c>device.ring</c>.</exception>
    UringFacts? TryRead(int ring);

    /// <summary>Lets an io_uring that was never used count on from there.</summary>
    /// <param name="ring">A descriptor of this process.</param>
    /// <param name="taken">Requests that it has taken.</param>
    /// <param name="given">Completions that it has given.</param>
    /// <exception cref="BridgeException"><c>restore.io_uring</c>.</exception>
    void CountOn(int ring, uint taken, uint given);

    /// <summary>Whether it knows of contexts of Linux AIO.</summary>
    bool KnowsContexts { get; }

    /// <summary>How many requests of a context of Linux AIO have not ended.</summary>
    /// <param name="pid">The process, which stands.</param>
    /// <param name="context">Where its ring lies.</param>
    /// <returns>Null when it has no such context, or the module does not know.</returns>
    /// <exception cref="BridgeException"><c>device.ring</c>.</exception>
    long? TryCountInFlight(int pid, ulong context);
}

/// <summary>An io_uring as its kernel has it.</summary>
/// <param name="Setup">IORING_SETUP_… of io_uring_setup(2).</param>
/// <param name="SqEntries">Places for requests.</param>
/// <param name="CqEntries">Places for completions.</param>
/// <param name="SqHead">Requests that it has taken, modulo 2^32.</param>
/// <param name="CqTail">Completions that it has given, modulo 2^32.</param>
/// <param name="InFlight">Requests that have not ended.</param>
/// <param name="References">To its open file: descriptors and mappings, and whatever else holds it.</param>
/// <param name="Issuer">The thread that alone may submit, 0 for any.</param>
/// <param name="Registered">What was registered with it, in words.</param>
/// <param name="Overflown">Whether completions wait for which it had no room.</param>
/// <param name="Layout">Where what lies.</param>
internal sealed record UringFacts(
    uint Setup, uint SqEntries, uint CqEntries, uint SqHead, uint CqTail, long InFlight, long References, int Issuer, IReadOnlyList<string> Registered, bool Overflown, UringLayout Layout);

/// <summary>Where in the shared memory of an io_uring what lies, in bytes: <c>struct io_sqring_offsets</c> and <c>struct io_cqring_offsets</c> of io_uring_setup(2). They differ between kernels. <c>SqArray</c> is null where there is none (IORING_SETUP_NO_SQARRAY).</summary>
internal sealed record UringLayout(
    uint SqHead, uint SqTail, uint SqMask, uint SqEntries, uint SqFlags, uint SqDropped, uint? SqArray, uint CqHead, uint CqTail, uint CqMask, uint CqEntries, uint CqOverflow, uint CqFlags, uint Cqes)
{
    /// <summary>Of a ring that has not been looked at.</summary>
    public static UringLayout Unknown { get; } = new(0, 0, 0, 0, 0, 0, null, 0, 0, 0, 0, 0, 0, 0);
}
