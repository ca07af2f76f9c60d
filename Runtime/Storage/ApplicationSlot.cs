using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Storage;

/// <summary>Finds the directory for an application that is about to run, and takes its lock.</summary>
internal static class ApplicationSlot
{
    /// <summary>In the place of a target that is not known yet; no process has pid 0.</summary>
    public static ApplicationTarget NoTarget { get; } = new(ApplicationScope.Space, 0, 0, "");

    /// <summary>Takes the directory of a name, or of the first free name made of the program's.</summary>
    /// <exception cref="HoldfastException">An application of that name runs (<c>app.running</c>).</exception>
    public static (ApplicationDirectory Directory, ApplicationLock Lock, bool IsNew) Take(Store store, string? name, string program)
    {
        if (name is not null)
        {
            return Take(store.Application(name)) ?? throw Running(name);
        }

        string made = ApplicationName.From(program);
        for (int i = 1; ; i++)
        {
            ApplicationDirectory directory = store.Application(i == 1 ? made : $"{made}-{i}");
            // A name that was used before may have snapshots: they are another application's.
            if (!directory.Exists && Take(directory) is { } taken)
            {
                return taken;
            }
        }
    }

    /// <summary>Takes a directory; null when an application runs in it.</summary>
    public static (ApplicationDirectory Directory, ApplicationLock Lock, bool IsNew)? Take(ApplicationDirectory directory)
    {
        bool isNew = !directory.Exists;
        directory.Create();
        ApplicationLock? held = directory.TryLock();
        if (held is null)
        {
            return null;
        }

        ApplicationRecord? record;
        try
        {
            record = directory.Read();
        }
        catch
        {
            held.Dispose();
            throw;
        }

        if (record is not null && ApplicationDirectory.Runs(record))
        {
            held.Dispose();
            return null;
        }

        return (directory, held, isNew);
    }

    public static HoldfastException Running(string name) => new(
        "app.running", $"an application {name} runs already; 'holdfast stop {name}' or 'holdfast kill {name}' ends it, --name names another");
}
