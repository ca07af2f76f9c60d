using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Files in memory with their seals; see memfd_create(2). Open or mapped, they are files without a name, whose contents are part of the image
/// (<see cref="GhostFiles"/>).
/// </summary>
internal sealed class Memfds : IDescriptorKind
{
    /// <summary>What the kernel puts in front of the name.</summary>
    public const string Prefix = "/memfd:";

    private const int F_ADD_SEALS = 1033, F_GET_SEALS = 1034;

    public bool Recognise(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.Regular && facts.Link.StartsWith(Prefix, StringComparison.Ordinal) && facts.Deleted;

    public Refusal? Check(DescriptorFacts facts) => null;

    public OpenFileImage Capture(DescriptorFacts facts) => new RegularFileImage
    {
        Flags = facts.Flags, Path = facts.Path, Position = facts.Position, Identity = facts.Identity, Deleted = true,
    };

    /// <summary>What a file that looks like a memfd is; null when it is none.</summary>
    /// <param name="path">Its path without the mark of a deleted file.</param>
    /// <param name="magicPath">A link of procfs that leads to it.</param>
    public static MemfdImage? Describe(string path, string magicPath)
    {
        if (!path.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return null;
        }

        int fd = Libc.open(magicPath, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        int seals = fd < 0 ? -1 : Libc.fcntl(fd, F_GET_SEALS, 0);
        _ = fd >= 0 ? Libc.close(fd) : 0;
        return seals < 0 ? null : new MemfdImage(path[Prefix.Length..], seals) { PageSize = HugePages.IsFile(magicPath) ? Libc.BlockSize(magicPath) : 0 };
    }

    /// <summary>Composes what makes one, without seals.</summary>
    public static void Make(SyscallTape tape, MemfdImage memfd)
    {
        const ulong MFD_ALLOW_SEALING = 2;
        tape.Add($"making memfd {memfd.Name}", X64.MemfdCreate, tape.Place(memfd.Name), MFD_ALLOW_SEALING | HugePages.MemfdFlags(memfd.PageSize));
    }

    /// <summary>Composes what seals one again, once all mappings of it are there.</summary>
    public static void Seal(SyscallTape tape, MemfdImage memfd, int number)
    {
        if (memfd.Seals != 0)
        {
            tape.Add($"sealing memfd {memfd.Name}", X64.Fcntl, (ulong)number, F_ADD_SEALS, (ulong)memfd.Seals);
        }
    }
}

/// <summary>What a memfd has beside its contents.</summary>
/// <param name="Name">As given to memfd_create(2).</param>
/// <param name="Seals">F_GET_SEALS of fcntl(2).</param>
internal sealed record MemfdImage(string Name, int Seals)
{
    /// <summary>Bytes of a page where they are huge (<see cref="HugePages"/>), else 0.</summary>
    public long PageSize { get; init; }
}
