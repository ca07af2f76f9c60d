using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Writes <c>struct config</c> of <c>init.c</c>: eighteen 32-bit words, then strings and tables at the offsets that they name.</summary>
internal sealed class SpaceConfigBlock
{
    // The numbers of enum fixed_fd.
    public const int ConfigDescriptor = 3, ReportDescriptor = 4, ListenDescriptor = 5, ExitDescriptor = 6, LifelineDescriptor = 7,
        InitProcsDescriptor = 8, AppProcsDescriptor = 9, FreezeDescriptor = 10, GoDescriptor = 13, InitGroupDescriptor = 14, AppGroupDescriptor = 15, FirstExtra = 20;

    private const uint Magic = 0x46534648;
    private const int LongestHostName = 64;
    private const int Words = 18;
    private const uint DetachFlag = 1, OwnSessionFlag = 2, CgroupFlag = 4, OwnSharedMemoryFlag = 8, OwnUserFlag = 16;

    private readonly MemoryStream tail = new();

    /// <summary>CLONE_NEW* bits by namespace name; see namespaces(7). <c>shm</c> is none, but a file system of its own in the mount namespace.</summary>
    public static IReadOnlyDictionary<string, uint> NamespaceFlags { get; } = new Dictionary<string, uint>
    {
        ["pid"] = 0x20000000,
        ["mount"] = 0x00020000,
        ["uts"] = 0x04000000,
        ["ipc"] = 0x08000000,
        ["time"] = 0x00000080,
        ["net"] = 0x40000000,
        ["shm"] = 0,
    };

    /// <summary>The block for a space.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="programPath">The resolved program; empty in build mode.</param>
    /// <param name="grouped">Whether the cgroup descriptors are passed.</param>
    public static byte[] ForSpace(SpaceRequest request, string programPath, bool grouped)
    {
        uint namespaces = NamespaceFlags["pid"] | NamespaceFlags["mount"];
        foreach (string name in request.Isolate)
        {
            namespaces |= NamespaceFlags[name];
        }

        bool run = request.Mode == SpaceMode.Run;
        uint flags = (request.Detach ? DetachFlag : 0) | (request.Detach && run ? OwnSessionFlag : 0) | (grouped ? CgroupFlag : 0)
            | (request.Isolate.Contains("shm") ? OwnSharedMemoryFlag : 0) | (Authority.Own.IsOfNamespace ? OwnUserFlag : 0);
        return new SpaceConfigBlock().Write(
            request.Mode, flags, namespaces, request.WantedPid, request.HostName ?? Shorten(request.Name), request.WorkingDirectory, programPath,
            run ? request.Command : [], run ? request.Environment : [], Offsets(request), request.Extras);
    }

    /// <summary>The block for a stub without a space.</summary>
    public static byte[] ForStub(StubRequest request) => new SpaceConfigBlock().Write(
        SpaceMode.Stub, (request.OwnSession ? OwnSessionFlag : 0) | (request.Cgroup is null ? 0 : CgroupFlag), 0,
        request.WantedPid, "", "/", "", [], [], "", request.Extras);

    // A host name has at most 64 bytes (__NEW_UTS_LEN); an application's name may have more.
    private static string Shorten(string name)
    {
        string shorter = name;
        while (Encoding.UTF8.GetByteCount(shorter) > LongestHostName)
        {
            shorter = shorter[..^1];
        }

        return shorter;
    }

    private static string Offsets(SpaceRequest request) =>
        request.MonotonicOffset == default && request.BootTimeOffset == default
            ? ""
            : $"{Line("monotonic", request.MonotonicOffset)}{Line("boottime", request.BootTimeOffset)}";

    private static string Line(string clock, ClockOffset offset) =>
        string.Create(CultureInfo.InvariantCulture, $"{clock} {offset.Seconds} {offset.Nanoseconds}\n");

    private byte[] Write(
        SpaceMode mode, uint flags, uint namespaces, int wantedPid, string hostName, string directory, string program, IReadOnlyList<string> command,
        IReadOnlyList<string> environment, string offsets, IReadOnlyList<DescriptorPair> extras)
    {
        uint extrasAt = Position;
        Span<byte> number = stackalloc byte[4];
        foreach (DescriptorPair extra in extras)
        {
            BinaryPrimitives.WriteInt32LittleEndian(number, extra.Target);
            tail.Write(number);
        }

        uint hostNameAt = Add(hostName), directoryAt = Add(directory), programAt = Add(program), offsetsAt = Add(offsets), commandAt = Position;
        foreach (string text in command.Concat(environment))
        {
            Add(text);
        }

        byte[] block = new byte[Position];
        uint[] head =
        [
            Magic, (uint)block.Length, (uint)mode, flags, namespaces, (uint)wantedPid, (uint)command.Count, (uint)environment.Count, (uint)extras.Count,
            hostNameAt, directoryAt, programAt, commandAt, offsetsAt, extrasAt, (uint)Encoding.UTF8.GetByteCount(hostName),
            mode == SpaceMode.Run ? InheritedLimits.OpenFiles() : 0, 0,
        ];
        for (int i = 0; i < Words; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan(4 * i), head[i]);
        }

        tail.ToArray().CopyTo(block, 4 * Words);
        return block;
    }

    private uint Position => (uint)((4 * Words) + tail.Length);

    private uint Add(string text)
    {
        uint at = Position;
        // A zero byte would end it early and shift every later string.
        if (text.Contains('\0'))
        {
            throw new ArgumentException($"a zero byte in \"{text.Replace("\0", "\\0")}\"");
        }

        tail.Write(Encoding.UTF8.GetBytes(text));
        tail.WriteByte(0);
        return at;
    }
}
