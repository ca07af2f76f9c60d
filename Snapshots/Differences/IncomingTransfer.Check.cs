using System.Security.Cryptography;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <content>What is asked before anything is received.</content>
internal sealed partial class IncomingTransfer
{
    private static void Check(DifferenceHead head)
    {
        if (head.Version != RecordFormat.Version)
        {
            string remedy = head.Version > RecordFormat.Version ? "use a newer one" : "make it again with this one, or bring the program that sends to this version";
            throw new SnapshotStoreException("store.version", $"a difference has version {head.Version}; this program reads version {RecordFormat.Version}; {remedy}");
        }

        if (head.Target is null || head.Lanes is 0 or > 64 || !SnapshotId.IsValid(head.Target.Id) || (head.Base.Length > 0 && !SnapshotId.IsValid(head.Base)))
        {
            throw new SnapshotStoreException("transfer.invalid", "the head of a difference is not possible");
        }

        _ = ObjectName.Encode(head.Target.Object);
    }

    /// <returns>The base; null where there is none, or where it may come and has not yet.</returns>
    private static SnapshotInfo? CheckBase(SnapshotStore store, DifferenceHead head, byte[] baseDigest, bool mayCome)
    {
        if (head.Base.Length == 0)
        {
            return null;
        }

        string address = $"{head.Target.Object}@{head.Base}";
        SnapshotInfo? found = store.List(head.Target.Object).FirstOrDefault(s => s.Id == head.Base);
        if (found is null)
        {
            return mayCome ? null : throw new SnapshotStoreException("diff.base", $"the difference is against {address}, which {store.Directory} does not have; bring that snapshot there first");
        }

        using SnapshotReader reader = store.OpenSnapshot(found);
        if (!store.Digests.Of(reader).AsSpan().SequenceEqual(baseDigest))
        {
            throw new SnapshotStoreException("diff.base", $"the difference is against {address}, and {store.Directory} has another content under that id");
        }

        return found;
    }

    private static string SessionId(DifferenceHead head) => Convert.ToHexStringLower(SHA256.HashData(head.ToByteArray())[..16]);
}
