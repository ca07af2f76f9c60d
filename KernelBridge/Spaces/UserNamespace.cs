using System.Buffers.Binary;
using System.Collections;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Holdfast.KernelBridge.Linux;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>User namespaces for ordinary users' supervisors, by <c>enter.c</c>. See user_namespaces(7).</summary>
internal static unsafe class UserNamespace
{
    /// <summary>The step of mounting a proc file system.</summary>
    public const int MountProcStep = 5;

    private const int ReportDescriptor = 3;
    private const int F_SETFD = 2, SIG_SETMASK = 2, SignalSetSize = 128, NoSpace = 28;

    private static readonly byte[] code = FlatProgram.Load("enter.bin");

    /// <summary>Whether a process is in this process's user namespace, or in one that this user may not see.</summary>
    public static bool IsOursOrHidden(int pid) => ProcFs.TryLink($"/proc/{pid}/ns/user") is not { } its || its == ProcFs.TryLink("/proc/self/ns/user");

    /// <summary>Tries in a process of its own, which leaves nothing, whether a space can be made in a new user namespace.</summary>
    /// <returns>Null when it can; otherwise why not, and what to do.</returns>
    public static (string Why, string Remedy)? Try()
    {
        (SafeFileHandle read, SafeFileHandle write) = Descriptors.Pipe();
        using (read)
        {
            using (write)
            using (SafeFileHandle program = Program())
            {
                ChildProcess.Reap(SpawnedProgram.Start(program, [(Descriptors.Number(write), ReportDescriptor)], "try", "3"));
            }

            byte* result = stackalloc byte[8];
            if (Read(Descriptors.Number(read), result, 8) != 8)
            {
                return ("it ended before it could say why", "run as root");
            }

            ReadOnlySpan<byte> words = new(result, 8);
            return Explain(BinaryPrimitives.ReadInt32LittleEndian(words), BinaryPrimitives.ReadInt32LittleEndian(words[4..]));
        }
    }

    /// <summary>Puts a step of <c>enum step</c> of enter.c and its errno into words; null for success.</summary>
    public static (string Why, string Remedy)? Explain(int step, int error) => step switch
    {
        0 => null,
        1 when error == NoSpace => ("the kernel lets this user make no more user namespaces", "raise user.max_user_namespaces (sysctl), or run as root"),
        1 => ($"the kernel lets this user make no user namespace ({Describe(error)})",
            "allow it (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; a container's seccomp profile may forbid it too), or run as root"),
        2 => ($"its user cannot be mapped in a user namespace ({Describe(error)})",
            "allow it (sysctl kernel.apparmor_restrict_unprivileged_userns=0), or run as root"),
        3 or 4 when error is 1 or 13 => ($"what a user namespace gives is withheld from this user ({Describe(error)})", "allow it (sysctl kernel.apparmor_restrict_unprivileged_userns=0), or run as root"),
        3 or 4 => ($"a namespace cannot be made in a user namespace ({Describe(error)})", "raise user.max_*_namespaces (sysctl), or run as root"),
        MountProcStep => ($"no proc file system can be mounted in a user namespace ({Describe(error)}): parts of /proc are hidden here, as containers do",
            "start the container with an unmasked /proc (--security-opt unmask=ALL, procMount: Unmasked), or run as root"),
        6 => ($"no /dev/shm can be mounted in a user namespace ({Describe(error)})", "run as root"),
        _ => ($"step {step}: {Describe(error)}", "run as root"),
    };

    /// <summary>Executes this program again in a user namespace. Does not return.</summary>
    /// <param name="member">A process in the namespace; null makes a new one.</param>
    /// <exception cref="BridgeException">It could not even be begun.</exception>
    public static void Enter(int? member)
    {
        SafeFileHandle? joined = member is { } pid ? Descriptors.Open(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/ns/user"), O_RDONLY) : null;
        ProcessStatus groups = ProcessStatus.Read(member ?? Environment.ProcessId);
        using SafeFileHandle program = Program();
        string number = "new";
        if (joined is not null)
        {
            // The one descriptor that outlives the execve; enter.c closes it.
            Fcntl(Descriptors.Number(joined), F_SETFD, 0);
            number = Descriptors.Number(joined).ToString(CultureInfo.InvariantCulture);
        }

        string self = ProcFs.Link("/proc/self/exe");
        Environment.SetEnvironmentVariable(Authority.Variable, string.Join(',', groups.Numbers("Groups")));
        byte** argv = Strings([.. ((string[])["holdfast-enter", "enter", number, self]).Select(Encoding.UTF8.GetBytes), .. Arguments().Skip(1)]);
        byte** envp = Strings([.. Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(entry => Encoding.UTF8.GetBytes($"{entry.Key}={entry.Value}"))]);
        byte* nothing = stackalloc byte[SignalSetSize];
        new Span<byte>(nothing, SignalSetSize).Clear();
        _ = SetSignalMask(SIG_SETMASK, nothing, null);
        Execute($"/proc/self/fd/{Descriptors.Number(program)}", argv, envp);
        throw Descriptors.Failure("rights.missing", "entering a user namespace", Marshal.GetLastPInvokeError());
    }

    private static SafeFileHandle Program() => Descriptors.Memory("holdfast-enter", FlatProgram.Executable(code, InitProgram.DefaultBase), executable: true);

    /// <summary>This program's arguments as the bytes that they are.</summary>
    private static List<byte[]> Arguments()
    {
        byte[] line = ProcFs.Bytes("/proc/self/cmdline");
        List<byte[]> arguments = [];
        for (int from = 0; from < line.Length;)
        {
            int end = Array.IndexOf(line, (byte)0, from);
            end = end < 0 ? line.Length : end;
            arguments.Add(line[from..end]);
            from = end + 1;
        }

        return arguments;
    }

    // Never freed: this process is about to be another program.
    private static byte** Strings(IReadOnlyList<byte[]> texts)
    {
        byte** all = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            all[i] = (byte*)NativeMemory.AllocZeroed((nuint)texts[i].Length + 1);
            texts[i].CopyTo(new Span<byte>(all[i], texts[i].Length));
        }

        return all;
    }
}
