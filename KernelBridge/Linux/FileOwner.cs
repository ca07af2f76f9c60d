namespace Holdfast.KernelBridge.Linux;

/// <summary>Who gets signals about an open file; see fcntl(2), <i>Managing signals</i>.</summary>
/// <param name="Kind">F_OWNER_….</param>
/// <param name="Number">As we see it; 0 for nobody, or one that is gone.</param>
/// <param name="Signal">F_GETSIG; 0 for SIGIO.</param>
/// <param name="User">The real user id of who set the owner.</param>
/// <param name="EffectiveUser">The effective one.</param>
internal readonly record struct FileOwner(int Kind, int Number, int Signal, uint User, uint EffectiveUser)
{
    private const int F_GETSIG = 11, F_GETOWN_EX = 16, F_GETOWNER_UIDS = 17;

    /// <summary>Asks an open file; null for one that sends no signals.</summary>
    /// <param name="descriptor">A descriptor of ours.</param>
    public static unsafe FileOwner? TryOf(int descriptor)
    {
        (int Kind, int Number) owner = default;
        if (Libc.fcntl(descriptor, F_GETOWN_EX, (nint)(&owner)) < 0)
        {
            return null;
        }

        int signal = Math.Max(0, Libc.fcntl(descriptor, F_GETSIG, 0));
        (uint Real, uint Effective) user = default;
        _ = Libc.fcntl(descriptor, F_GETOWNER_UIDS, (nint)(&user));
        return new FileOwner(owner.Kind, owner.Number, signal, user.Real, user.Effective);
    }
}
