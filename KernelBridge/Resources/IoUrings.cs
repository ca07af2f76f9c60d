namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Rings of io_uring (io_uring_setup(2)): always refused, since neither what they are nor whether anything is in flight can be known.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>Of the flags with which a ring was made fdinfo (<c>io_uring/fdinfo.c</c> of the kernel) shows but few. IORING_SETUP_SUBMIT_ALL, for one, changes what io_uring_enter(2) does with what follows a faulty
/// request. Who is preloaded does not see the call either: liburing makes it itself from 2.2 on, without the C library.</item>
/// <item>Requests in flight are shown while they are polled for only. How many were submitted and how many completions there were does not tell: requests may have several completions (multishot, zero-copy
/// sends), none (IOSQE_CQE_SKIP_SUCCESS), and those of other rings' messages come without one here (IORING_OP_MSG_RING).</item>
/// <item>Unlike the slots of Linux AIO (<see cref="AioContexts"/>), nothing can be tried: what is submitted moves counters of which programs keep copies of their own, and that cannot be moved back.</item>
/// <item>Registered buffers, files, restrictions and personalities are counted at most, and what a provided ring of buffers has lies with the kernel.</item>
/// </list>
/// </remarks>
internal static class IoUrings
{
    /// <summary>Code of the refusal.</summary>
    public const string Code = "fd.io_uring";

    /// <summary>The refusal of a ring.</summary>
    public static Refusal Refuse(DescriptorFacts facts) => facts.Refuse(
        Code, "with which flags it was made, and whether requests are in flight, this kernel shows to nobody",
        "close it before the checkpoint, or start the program so that it does without (UV_USE_IO_URING=0 for node, innodb_use_native_aio=0 for MariaDB; sysctl kernel.io_uring_disabled=2 for all)");
}
