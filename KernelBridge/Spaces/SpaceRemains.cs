namespace Holdfast.KernelBridge.Spaces;

/// <summary>Removes what a space leaves in file systems when its processes are gone; its exit file stays for whoever asks.</summary>
internal static class SpaceRemains
{
    /// <summary>Removes the groups and the socket. Does nothing for what is gone already.</summary>
    /// <returns>False when a group is still in use.</returns>
    public static bool Remove(CgroupTree? cgroup, string? socketPath)
    {
        if (socketPath is not null && Directory.Exists(Path.GetDirectoryName(socketPath)))
        {
            File.Delete(socketPath);
        }

        return cgroup?.Remove() ?? true;
    }
}
