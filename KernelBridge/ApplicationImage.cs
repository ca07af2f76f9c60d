using System.Text.Json;
using System.Text.Json.Serialization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge;

/// <summary>Everything of an application but the contents of its memory: the structured part of a snapshot.</summary>
public sealed record ApplicationImage
{
    /// <summary>The version that this program writes. A reader refuses what is newer.</summary>
    public const int CurrentVersion = 1;

    /// <summary>Version of the form.</summary>
    [JsonInclude]
    internal int Version { get; init; } = CurrentVersion;

    /// <summary>How the application was found: in a space of its own, or as a tree with the host's pids.</summary>
    public required ApplicationScope Scope { get; init; }

    /// <summary>Host name that the application sees.</summary>
    public required string HostName { get; init; }

    /// <summary>The processes, parents before children.</summary>
    public required IReadOnlyList<ProcessImage> Processes { get; init; }

    /// <summary>What must hold of the machine.</summary>
    [JsonInclude]
    internal HostImage Host { get; set; } = null!;

    /// <summary>Namespaces that its space has of its own, as <see cref="LaunchRequest.Isolate"/> names them; null in images that do not say.</summary>
    [JsonInclude]
    internal IReadOnlyList<string>? Isolated { get; init; }

    /// <summary>Interfaces of a network of its own; empty in images that do not say.</summary>
    [JsonInclude]
    internal IReadOnlyList<InterfaceImage> Interfaces { get; set => field = value ?? []; } = [];

    [JsonInclude]
    internal IReadOnlyList<OpenFileImage> OpenFiles { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<PipeImage> Pipes { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<PseudoTerminalImage> Terminals { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<MappedFileImage> MappedFiles { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<SharedMemoryImage> SharedMemory { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<GhostFileImage> GhostFiles { get; set; } = [];

    /// <summary>Directories in its own /dev/shm, before those in them; the files are among <see cref="GhostFiles"/>.</summary>
    [JsonInclude]
    internal IReadOnlyList<SharedMemoryFolderImage> SharedMemoryFolders { get; set; } = [];

    /// <summary>Mount namespaces inside the application's, each behind the one that it is made out of.</summary>
    [JsonInclude]
    internal IReadOnlyList<MountNamespaceImage> MountNamespaces { get; set; } = [];

    /// <summary>System V IPC of a namespace of its own beside shared memory; null when it shares the host's, and in images that do not say.</summary>
    [JsonInclude]
    internal SystemVImage? SystemV { get; init; }

    /// <summary>Names of the streams in which the contents of memory and deleted files lie.</summary>
    [JsonIgnore]
    public IEnumerable<string> Streams =>
        [.. Processes.Where(p => p.Memory is not null).Select(p => p.Stream), .. SharedMemory.Select(s => s.Stream), .. GhostFiles.Select(g => g.Stream)];

    /// <summary>The image as bytes: versioned, readable by later versions.</summary>
    public byte[] Encode() => JsonSerializer.SerializeToUtf8Bytes(this, ImageJson.Default.ApplicationImage);

    /// <summary>Composes what describes the form of an image, once for all.</summary>
    public static void GetReady() => _ = ImageJson.Default.ApplicationImage;

    /// <summary>Reads an image; everything in it is checked.</summary>
    /// <exception cref="BridgeException">It is not a valid image (<c>image.invalid</c>).</exception>
    public static ApplicationImage Decode(ReadOnlySpan<byte> bytes)
    {
        ApplicationImage? image;
        try
        {
            image = JsonSerializer.Deserialize(bytes, ImageJson.Default.ApplicationImage);
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new BridgeException("image.invalid", "reading the image", e.Message, "restore another snapshot", e);
        }

        if (image is null || image.Version is < 1 or > CurrentVersion)
        {
            throw new BridgeException("image.version", "reading the image", $"version {image?.Version}, known are 1 to {CurrentVersion}", "use a newer Holdfast");
        }

        ImageValidation.Validate(image);
        return image;
    }
}

/// <summary>One process of an image.</summary>
public sealed record ProcessImage
{
    /// <summary>The pid inside the application's pid namespace.</summary>
    public required int Pid { get; init; }

    /// <summary>The parent's pid; 0 or 1 when it is outside the application.</summary>
    public required int ParentPid { get; init; }

    /// <summary>Process group; 0 or 1 when it is inherited from whoever started the application.</summary>
    public required int ProcessGroup { get; init; }

    /// <summary>Session; 0 or 1 when it is inherited from whoever started the application.</summary>
    public required int Session { get; init; }

    /// <summary>Its numbers in the pid namespaces of the application's own in which it is, the outermost first; empty in the application's.</summary>
    [JsonInclude]
    internal IReadOnlyList<NestedNumbers> Nested { get; set; } = [];

    /// <summary>
    /// The pid namespace inside its own in which its children will be (unshare(2), setns(2)): the pid of that one's init; 0 for its own, <see cref="PidNamespaces.Unused"/>
    /// for one that nobody has been in yet.
    /// </summary>
    [JsonInclude]
    internal int ChildNamespace { get; set; }

    /// <summary>The mount namespace that it is in, by <see cref="MountNamespaceImage.Id"/>; 0 for the application's.</summary>
    [JsonInclude]
    internal int MountNamespace { get; set; }

    /// <summary>The pid in its own pid namespace.</summary>
    [JsonIgnore]
    internal int OwnPid => Nested.Count > 0 ? Nested[^1].Pid : Pid;

    /// <summary>Name as in /proc/PID/comm.</summary>
    public required string Name { get; init; }

    /// <summary>Arguments, joined by spaces.</summary>
    public required string CommandLine { get; init; }

    /// <summary>How many threads; 0 for a zombie.</summary>
    [JsonIgnore]
    public int ThreadCount => Threads.Count;

    /// <summary>Status of wait(2) of a zombie; null while it lives.</summary>
    public int? ZombieStatus { get; init; }

    /// <summary>The signal of job control by which it stands stopped; 0 when it is not stopped.</summary>
    public int StoppedBy { get; init; }

    /// <summary>Whether its parent has been told of the stop by wait(2).</summary>
    public bool StopIsReported { get; init; }

    /// <summary>Areas of memory, a line each as in /proc/PID/maps.</summary>
    public IReadOnlyList<string> DescribeMaps() => [.. (Memory?.Areas ?? []).Select(area =>
        $"{area.Start:x}-{area.End:x} {((area.Protection & 1) != 0 ? 'r' : '-')}{((area.Protection & 2) != 0 ? 'w' : '-')}{((area.Protection & 4) != 0 ? 'x' : '-')}{(area.Shared ? 's' : 'p')} {area.Name}".TrimEnd())];

    /// <summary>Descriptors, a line each: number, and what it refers to.</summary>
    public IReadOnlyList<string> DescribeDescriptors(ApplicationImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return [.. Descriptors.Select(descriptor => $"{descriptor.Number} {image.OpenFiles[descriptor.File].Description}")];
    }

    /// <summary>Threads, a line each: number and name.</summary>
    public IReadOnlyList<string> DescribeThreads() => [.. Threads.Select(thread => $"{thread.Tid} {thread.Name}")];

    /// <summary>The stream that holds the contents of its memory.</summary>
    [JsonIgnore]
    public string Stream => $"mem/{Pid}";

    [JsonInclude]
    internal IReadOnlyList<ThreadImage> Threads { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<DescriptorImage> Descriptors { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<RecordLockImage> RecordLocks { get; set; } = [];

    [JsonInclude]
    internal MemoryImage? Memory { get; set; }

    [JsonInclude]
    internal IReadOnlyList<SignalActionImage> SignalActions { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<byte[]> PendingSignals { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<IntervalTimerImage> IntervalTimers { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<PosixTimerImage> PosixTimers { get; set; } = [];

    /// <summary>The oldest first; all threads have them.</summary>
    [JsonInclude]
    internal IReadOnlyList<SeccompFilterImage> SeccompFilters { get; set; } = [];

    [JsonInclude]
    internal IReadOnlyList<LimitImage> Limits { get; set; } = [];

    [JsonInclude]
    internal DirectoriesImage Directories { get; set; } = new("/", "/", 18);

    [JsonInclude]
    internal AttributesImage? Attributes { get; set; }

    /// <summary>The application's CLOCK_MONOTONIC to which what is left of timers and waits refers, nanoseconds.</summary>
    [JsonInclude]
    internal long CapturedAt { get; init; }

    /// <summary>The same moment by this host's CLOCK_MONOTONIC; not part of the image.</summary>
    [JsonIgnore]
    internal long CapturedAtHost { get; init; }

    /// <summary>How long ago that was: what is read now is so much shorter.</summary>
    internal long SinceCapture() => SinceCapture(Libc.Nanoseconds(Libc.CLOCK_MONOTONIC));

    /// <summary>The same, for what was read at another moment, of this host's CLOCK_MONOTONIC.</summary>
    internal long SinceCapture(long moment) => moment - CapturedAtHost;

    /// <summary>What the descriptors were, until the application's images are put together; not part of the image.</summary>
    [JsonIgnore]
    internal IReadOnlyList<(DescriptorFacts Facts, OpenFileImage File)> Captured { get; set; } = [];

    /// <summary>The host's pid at capture; not part of the image.</summary>
    [JsonIgnore]
    internal int HostPid { get; set; }
}

/// <summary>The machine that an image comes from.</summary>
internal sealed record HostImage
{
    public required string KernelRelease { get; init; }

    public required string MachineId { get; init; }

    /// <summary>Instruction-set flags of /proc/cpuinfo.</summary>
    public required IReadOnlyList<string> CpuFlags { get; init; }

    /// <summary>The vDSO's bytes.</summary>
    public required byte[] Vdso { get; init; }

    /// <summary>CLOCK_MONOTONIC as the application saw it, nanoseconds.</summary>
    public required long Monotonic { get; init; }

    /// <summary>CLOCK_BOOTTIME as the application saw it, nanoseconds.</summary>
    public required long Boottime { get; init; }
}

[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata, UseStringEnumConverter = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ApplicationImage))]
internal sealed partial class ImageJson : JsonSerializerContext;
