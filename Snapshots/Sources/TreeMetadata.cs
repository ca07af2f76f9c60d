using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Owner, mode, attributes and times of an entry of a tree.</summary>
internal static class TreeMetadata
{
    /// <summary>Gives it to what lies at a path.</summary>
    internal static void Apply(TreeEntry entry, byte[] path)
    {
        bool link = (entry.Mode & FileFacts.TypeMask) == FileFacts.Link;
        if (Environment.IsPrivilegedProcess)
        {
            Posix.SetOwner(path, entry.Uid, entry.Gid);
        }

        if (!link)
        {
            // After the owner: changing that clears the set-id bits.
            Posix.SetMode(path, entry.Mode);
        }

        foreach (Format.Attribute attribute in entry.Attributes)
        {
            Posix.SetAttribute(path, attribute.Name.ToByteArray(), attribute.Value.ToByteArray());
        }

        Posix.SetModified(path, entry.MtimeS, entry.MtimeNs);
    }
}
