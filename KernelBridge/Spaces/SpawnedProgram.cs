using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// Starts an executable in memory with posix_spawn(3), since managed code cannot fork: descriptors at fixed numbers, no signal blocked,
/// every signal's action the default.
/// </summary>
internal static unsafe class SpawnedProgram
{
    // Of glibc and musl, posix_spawnattr_t (336 bytes) and posix_spawn_file_actions_t (80 bytes) fit many times.
    private const int OpaqueSize = 1024;
    private const int SignalSetSize = 128;
    private const int AboveAllTargets = 128;

    /// <summary>Starts it.</summary>
    /// <param name="executable">A memfd with the ELF file.</param>
    /// <param name="descriptors">Source (ours) and target (its own, below 128), in any order.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <returns>Its pid: a child of this process that the caller must wait for.</returns>
    public static int Start(SafeFileHandle executable, IReadOnlyList<(int Source, int Target)> descriptors, params ReadOnlySpan<string> arguments)
    {
        byte* actions = stackalloc byte[OpaqueSize];
        byte* attributes = stackalloc byte[OpaqueSize];
        byte* signals = stackalloc byte[SignalSetSize];
        List<SafeFileHandle> copies = [];
        List<nint> texts = [];
        byte* Text(string text)
        {
            nint copy = Marshal.StringToCoTaskMemUTF8(text);
            texts.Add(copy);
            return (byte*)copy;
        }

        Check(SpawnActionsInit(actions), "posix_spawn_file_actions_init");
        Check(SpawnAttributesInit(attributes), "posix_spawnattr_init");
        try
        {
            foreach ((int source, int target) in descriptors)
            {
                // Copies above every target: otherwise one dup2 could overwrite the source of the next, and source == target would
                // leave close-on-exec set.
                SafeFileHandle copy = Descriptors.DuplicateAbove(source, AboveAllTargets);
                copies.Add(copy);
                Check(SpawnActionsAddDup2(actions, Descriptors.Number(copy), target), "posix_spawn_file_actions_adddup2");
            }

            // It is opened after the descriptors have got their numbers, of which one may be its own here.
            SafeFileHandle program = Descriptors.DuplicateAbove(Descriptors.Number(executable), AboveAllTargets);
            copies.Add(program);

            new Span<byte>(signals, SignalSetSize).Clear();
            Check(SpawnAttributesSetSignalMask(attributes, signals), "posix_spawnattr_setsigmask");
            new Span<byte>(signals, SignalSetSize).Fill(0xff);
            Check(SpawnAttributesSetSignalDefault(attributes, signals), "posix_spawnattr_setsigdefault");
            Check(SpawnAttributesSetFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK), "posix_spawnattr_setflags");

            byte** argv = stackalloc byte*[arguments.Length + 2];
            argv[0] = Text("holdfast-space");
            for (int i = 0; i < arguments.Length; i++)
            {
                argv[i + 1] = Text(arguments[i]);
            }

            argv[arguments.Length + 1] = null;
            byte** envp = stackalloc byte*[] { null };
            if (Authority.Own.IsOfNamespace)
            {
                Capabilities.RaiseAmbient();
            }

            Check(PosixSpawn(out int pid, $"/proc/self/fd/{Descriptors.Number(program)}", actions, attributes, argv, envp), "posix_spawn");
            return pid;
        }
        finally
        {
            if (Authority.Own.IsOfNamespace)
            {
                Capabilities.ClearAmbient();
            }

            texts.ForEach(Marshal.FreeCoTaskMem);
            SpawnActionsDestroy(actions);
            SpawnAttributesDestroy(attributes);
            copies.ForEach(c => c.Dispose());
        }
    }

    private static void Check(int error, string call)
    {
        if (error != 0)
        {
            throw Descriptors.Failure("space.spawn", call, error);
        }
    }
}
