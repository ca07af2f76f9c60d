using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Open POSIX message queues (mq_overview(7)): refused, since nothing shows their messages without taking them out.</summary>
internal sealed class PosixQueues : IDescriptorKind
{
    private const long MqueueMagic = 0x19800202;

    public bool Recognise(DescriptorFacts facts) =>
        facts.Identity.Type == FileIdentity.Regular && facts.Path.LastIndexOf('/') == 0 && Libc.FileSystemType(facts.MagicPath) == MqueueMagic;

    public Refusal? Check(DescriptorFacts facts) =>
        facts.Refuse("fd.mqueue", "a POSIX message queue cannot be captured: no interface shows its messages without taking them out", "close it and remove it before the checkpoint (mq_unlink)");

    public OpenFileImage Capture(DescriptorFacts facts) => throw new BridgeException([Check(facts)!]);
}
