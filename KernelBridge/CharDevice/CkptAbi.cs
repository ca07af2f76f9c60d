namespace Holdfast.KernelBridge.CharDevice;

/// <summary>The calls of /dev/ckpt, as ckpt-kmod/uapi/ckpt.h has them; a test holds every number, offset and size against the header. See ckpt(4).</summary>
internal static class CkptAbi
{
    public const uint AbiVersion = 1;
    public const ulong FeatureFreeze = 1ul << 0;
    public const ulong FeatureState = 1ul << 1;
    public const ulong FeaturePages = 1ul << 2;
    public const ulong FeatureDirty = 1ul << 3;
    public const ulong FeaturePut = 1ul << 4;
    public const ulong FeatureEvents = 1ul << 5;
    public const uint AttachFollow = 1u << 0;
    public const uint FreezeTimeoutMax = 60000;
    public const uint RecordProcess = 1;
    public const uint RecordThread = 2;
    public const uint RecordRegset = 3;
    public const uint RecordSignal = 4;
    public const uint RecordAction = 5;
    public const uint RecordVma = 6;
    public const uint RecordFile = 7;
    public const uint RecordTimer = 8;
    public const ulong VmaRead = 1ul << 0;
    public const ulong VmaWrite = 1ul << 1;
    public const ulong VmaExec = 1ul << 2;
    public const ulong VmaShared = 1ul << 3;
    public const ulong VmaGrowsdown = 1ul << 4;
    public const ulong VmaLocked = 1ul << 5;
    public const ulong VmaHugetlb = 1ul << 6;
    public const ulong VmaDevice = 1ul << 7;
    public const ulong VmaDontfork = 1ul << 8;
    public const ulong VmaWipeonfork = 1ul << 9;
    public const ulong VmaDontdump = 1ul << 10;
    public const uint RangesMax = 65536;
    public const uint BufferMax = 64u << 20;
    public const uint PagesFile = 1u << 0;
    public const uint PageZero = 1u << 0;
    public const uint PageAnon = 1u << 1;
    public const uint PageFile = 1u << 2;
    public const uint PageDirty = 1u << 3;
    public const uint PageUnreadable = 1u << 4;
    public const uint PageEnd = 1u << 5;
    public const uint StreamMagic = 0x54504b43;
    public const uint SelectRead = 0;
    public const uint SelectWrite = 1;
    public const uint EventBorn = 1;
    public const uint EventExited = 2;
    public const uint EventLate = 3;
    public const uint EventExec = 4;
    public const uint Magic = 0xd7;

    // _IOC of include/uapi/asm-generic/ioctl.h: direction (1 write, 2 read), size, magic, number.
    public const uint Version = 3u << 30 | 0x00 | Magic << 8 | 24u << 16;
    public const uint Attach = 1u << 30 | 0x01 | Magic << 8 | 16u << 16;
    public const uint List = 3u << 30 | 0x02 | Magic << 8 | 16u << 16;
    public const uint Freeze = 3u << 30 | 0x03 | Magic << 8 | 32u << 16;
    public const uint Thaw = 1u << 30 | 0x04 | Magic << 8 | 8u << 16;
    public const uint State = 3u << 30 | 0x05 | Magic << 8 | 32u << 16;
    public const uint Pages = 3u << 30 | 0x06 | Magic << 8 | 48u << 16;
    public const uint Dirty = 3u << 30 | 0x07 | Magic << 8 | 48u << 16;
    public const uint Select = 1u << 30 | 0x08 | Magic << 8 | 16u << 16;
    public const uint Put = 3u << 30 | 0x09 | Magic << 8 | 32u << 16;
    public const uint Events = 3u << 30 | 0x0a | Magic << 8 | 24u << 16;
}
