using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Working directory, root directory and umask.</summary>
internal sealed class WorkingDirectories : IProcessResource
{
    public IEnumerable<Refusal> Check(ProcessView view)
    {
        foreach ((string which, string? path) in (ReadOnlySpan<(string, string?)>)[("cwd", view.WorkingDirectory), ("root", view.RootDirectory)])
        {
            if (path?.EndsWith(" (deleted)", StringComparison.Ordinal) == true)
            {
                return [view.Refuse("directory.deleted", $"{which} {path}", "the directory was removed", "change to another directory before the checkpoint")];
            }
        }

        return [];
    }

    public void Capture(ProcessView view, IProcessState state, ProcessImage image) => image.Directories = new DirectoriesImage(
        view.WorkingDirectory ?? throw ProcFs.Unreadable($"/proc/{view.Pid}/cwd"), view.RootDirectory ?? throw ProcFs.Unreadable($"/proc/{view.Pid}/root"), Convert.ToInt32(view.Status["Umask"] ?? "022", 8));

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape)
    {
        // Before the root directory changes, since the path was seen from the real one.
        tape.Add($"changing to {image.Directories.Working}", X64.Chdir, tape.Place(image.Directories.Working));
        if (image.Directories.Root != "/")
        {
            tape.Add($"changing the root to {image.Directories.Root}", X64.Chroot, tape.Place(image.Directories.Root));
        }

        tape.Add("umask", X64.Umask, (ulong)image.Directories.Umask);
    }
}

/// <summary>Where a process is in the file system.</summary>
/// <param name="Working">Working directory.</param>
/// <param name="Root">Root directory.</param>
/// <param name="Umask">umask(2).</param>
internal sealed record DirectoriesImage(string Working, string Root, int Umask);
