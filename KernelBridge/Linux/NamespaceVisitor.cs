using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// A thread in the IPC and UTS namespaces of a process, for as long as questions may come: to make one, and to let the kernel take down what it has entered, takes longer
/// than most answers. Nothing else ever runs on it. See ipc_namespaces(7), uts_namespaces(7), setns(2).
/// </summary>
internal sealed class NamespaceVisitor : IDisposable
{
    private const int CLONE_NEWIPC = 0x08000000, CLONE_NEWUTS = 0x04000000, CLONE_NEWNET = 0x40000000;

    // Those that it waits in for questions.
    private static readonly string[] lasting = ["ipc", "uts"];

    // By the name of the namespace that they are in, such as "ipc:[4026532182]", which nobody else can get while they are there.
    private static readonly ConcurrentDictionary<string, NamespaceVisitor> all = new();

    // Questions come one after the other: whoever waits for the next one is awake for some moments first, which costs less than to be woken.
    private readonly BlockingCollection<Action> questions = [];
    private readonly List<string> names = [];

    private NamespaceVisitor(int pid)
    {
        new Thread(Answer) { IsBackground = true }.Start();
        (string Kind, string Name)[] others =
            [.. lasting.Select(kind => (kind, Ours: Name("self", kind), Name: Name($"{pid}", kind))).Where(place => place.Ours is not null && place.Name is not null && place.Name != place.Ours).Select(place => (place.kind, place.Name!))];
        if (others.Length > 0 && Run(() => Enter(pid, others.Select(place => place.Kind)) is null))
        {
            foreach ((_, string name) in others)
            {
                names.Add(name);
                all.TryAdd(name, this);
            }
        }
    }

    /// <summary>Sends one into those namespaces of a process that are not ours; questions about them go to it until it is disposed.</summary>
    public static NamespaceVisitor To(int pid) => new(pid);

    /// <summary>Asks something in a namespace of a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <param name="kind"><c>ipc</c>, <c>uts</c> or <c>net</c>.</param>
    /// <param name="question">Runs on a thread for which that namespace is its own.</param>
    /// <exception cref="BridgeException"><c>rights.missing</c>, or what the question throws.</exception>
    public static T Ask<T>(int pid, string kind, Func<T> question)
    {
        if (Name($"{pid}", kind) is { } name && all.TryGetValue(name, out NamespaceVisitor? there))
        {
            try
            {
                return there.Run(question);
            }
            catch (InvalidOperationException) when (there.questions.IsAddingCompleted)
            {
                // It has just left.
            }
        }

        using NamespaceVisitor visitor = new(Environment.ProcessId);
        return visitor.Run(() => Enter(pid, [kind]) is { } problem
            ? throw new BridgeException("rights.missing", $"entering the {kind.ToUpperInvariant()} namespace of process {pid}", problem, "run as root or with CAP_SYS_ADMIN")
            : question());
    }

    /// <summary>Lets it go: the thread ends by itself.</summary>
    public void Dispose()
    {
        names.ForEach(name => all.TryRemove(new KeyValuePair<string, NamespaceVisitor>(name, this)));
        questions.CompleteAdding();
    }

    private static string? Name(string pid, string kind) => ProcFs.TryLink($"/proc/{pid}/ns/{kind}");

    /// <summary>Null when this thread is there now, in all of them, or why not.</summary>
    private static string? Enter(int pid, IEnumerable<string> kinds)
    {
        (string Kind, int Flag)[] places = [.. kinds.Select(kind => (kind, kind switch { "ipc" => CLONE_NEWIPC, "uts" => CLONE_NEWUTS, _ => CLONE_NEWNET }))];
        if (Enter(Libc.pidfd_open(pid), places.Sum(place => place.Flag)) is null)
        {
            return null;
        }

        // A thread other than the first, of which there is no pidfd, or a first thread that has ended.
        return places.Select(place => Enter(Libc.open($"/proc/{pid}/ns/{place.Kind}", Libc.O_RDONLY | Libc.O_CLOEXEC, 0), place.Flag)).FirstOrDefault(problem => problem is not null);
    }

    private static string? Enter(int descriptor, int flags)
    {
        string? problem = descriptor >= 0 && Libc.setns(descriptor, flags) == 0 ? null : Errno.Text(Libc.LastError);
        _ = descriptor >= 0 ? Libc.close(descriptor) : 0;
        return problem;
    }

    private void Answer()
    {
        foreach (Action question in questions.GetConsumingEnumerable())
        {
            question();
        }
    }

    private T Run<T>(Func<T> question)
    {
        T? answer = default;
        ExceptionDispatchInfo? failure = null;
        using ManualResetEventSlim done = new(false, 0);
        ProcSnapshot? ahead = ProcSnapshot.Current;
        questions.Add(() =>
        {
            try
            {
                using IDisposable? use = ahead?.Use();
                answer = question();
            }
            catch (Exception e)
            {
                // Thrown again where it was asked.
                failure = ExceptionDispatchInfo.Capture(e);
            }

            done.Set();
        });
        done.Wait();
        failure?.Throw();
        return answer!;
    }
}
