namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Files and links of procfs that were read ahead, many in one call, of processes that stand: while it is in use by a thread, <see cref="ProcFs"/> and
/// <see cref="FileIdentity"/> ask here before they ask the kernel. What is not in it is asked as ever.
/// </summary>
internal sealed class ProcSnapshot
{
    [ThreadStatic]
    private static ProcSnapshot? current;

    private readonly Dictionary<string, (byte[]? Bytes, int Error)> files = [];
    private readonly Dictionary<string, (string? Target, int Error)> links = [];
    private readonly Dictionary<string, FileIdentity?> identities = [];
    private readonly Dictionary<string, IReadOnlyList<int>> lists = [];
    private readonly Dictionary<string, long> fileSystems = [];
    private readonly Dictionary<Type, object> answers = [];
    private readonly Dictionary<(int Pid, int Number), FileOwner> owners = [];
    private readonly Dictionary<(int Pid, int Type, long Index), ulong> objects = [];

    /// <summary>What this thread uses; null when it asks the kernel.</summary>
    public static ProcSnapshot? Current => current;

    /// <summary>Uses it in this thread until what is returned is disposed.</summary>
    public IDisposable Use()
    {
        ProcSnapshot? before = current;
        current = this;
        return new Ending(before);
    }

    /// <summary>Asks the kernel in this thread until what is returned is disposed: for what goes on changing in a process that stands, as the expirations of its timers.</summary>
    public static IDisposable PassOver()
    {
        Ending ending = new(current);
        current = null;
        return ending;
    }

    /// <summary>Keeps what was found out by other means.</summary>
    public void Keep<T>(T answer)
        where T : class => answers[typeof(T)] = answer;

    /// <summary>What was kept, or null.</summary>
    public T? Kept<T>()
        where T : class => answers.TryGetValue(typeof(T), out object? answer) ? (T)answer : null;

    /// <summary>Takes over what another one knows.</summary>
    public void Add(ProcSnapshot other)
    {
        Copy(other.files, files);
        Copy(other.links, links);
        Copy(other.identities, identities);
        Copy(other.lists, lists);
        Copy(other.fileSystems, fileSystems);
        Copy(other.answers, answers);
        Copy(other.owners, owners);
        Copy(other.objects, objects);
    }

    /// <summary>A file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="bytes">Its contents; null with an error.</param>
    /// <param name="error">errno.</param>
    public void AddFile(string path, byte[]? bytes, int error) => files[path] = (bytes, error);

    /// <summary>A link.</summary>
    public void AddLink(string path, string? target, int error) => links[path] = (target, error);

    /// <summary>What a path leads to; null when that cannot be said.</summary>
    public void AddIdentity(string path, FileIdentity? identity) => identities[path] = identity;

    /// <summary>Numeric names in a directory, ascending.</summary>
    public void AddNumbers(string directory, IReadOnlyList<int> numbers) => lists[directory] = numbers;

    /// <summary>Whether a file is known.</summary>
    public bool TryFile(string path, out byte[]? bytes, out int error)
    {
        bool known = files.TryGetValue(path, out (byte[]? Bytes, int Error) found);
        (bytes, error) = found;
        return known;
    }

    /// <summary>Whether a link is known.</summary>
    public bool TryLink(string path, out string? target, out int error)
    {
        bool known = links.TryGetValue(path, out (string? Target, int Error) found);
        (target, error) = found;
        return known;
    }

    /// <summary>Whether it is known what a path leads to.</summary>
    public bool TryIdentity(string path, out FileIdentity? identity) => identities.TryGetValue(path, out identity);

    /// <summary>Whether the names in a directory are known.</summary>
    public bool TryNumbers(string directory, out IReadOnlyList<int>? numbers) => lists.TryGetValue(directory, out numbers);

    /// <summary>The names in a directory; none where they are not known.</summary>
    public IReadOnlyList<int> Numbers(string directory) => lists.GetValueOrDefault(directory, []);

    /// <summary>The magic number of the file system that a path leads to.</summary>
    public void AddFileSystem(string path, long type) => fileSystems[path] = type;

    /// <summary>Whether that is known.</summary>
    public bool TryFileSystem(string path, out long type) => fileSystems.TryGetValue(path, out type);

    /// <summary>Who gets signals about an open file.</summary>
    public void AddOwner(int pid, int number, FileOwner owner) => owners[(pid, number)] = owner;

    /// <summary>Whether that is known.</summary>
    public bool TryOwner(int pid, int number, out FileOwner owner) => owners.TryGetValue((pid, number), out owner);

    /// <summary>Which of the kernel's objects a process has: the same number for the same one.</summary>
    /// <param name="pid">The process or thread.</param>
    /// <param name="type">KCMP_….</param>
    /// <param name="index">Of KCMP_FILE the descriptor, else 0.</param>
    /// <param name="identity">The number.</param>
    public void AddObject(int pid, int type, long index, ulong identity) => objects[(pid, type, index)] = identity;

    /// <summary>What kcmp(2) says, where both objects are known.</summary>
    public bool TryCompare(int pid1, int pid2, int type, long index1, long index2, out int order)
    {
        order = 0;
        if (!objects.TryGetValue((pid1, type, index1), out ulong first) || !objects.TryGetValue((pid2, type, index2), out ulong second))
        {
            return false;
        }

        order = first == second ? 0 : first < second ? 1 : 2;
        return true;
    }

    private static void Copy<TKey, TValue>(Dictionary<TKey, TValue> from, Dictionary<TKey, TValue> to)
        where TKey : notnull
    {
        foreach ((TKey key, TValue value) in from)
        {
            to[key] = value;
        }
    }

    private sealed class Ending(ProcSnapshot? before) : IDisposable
    {
        public void Dispose() => current = before;
    }
}
