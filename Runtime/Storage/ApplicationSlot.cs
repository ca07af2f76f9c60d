using Holdfast.KernelBridge;

namespace Holdfast.Runtime.Storage;

/// <summary>Finds the directory for an application that is about to run, and takes its lock.</summary>
internal static class ApplicationSlot
{
    /// <summary>In the place of a target that is not known yet; no process has pid 0.</summary>
    public static ApplicationTarget NoTarget { get; } = new(ApplicationScope.Space, 0, 0, "");

    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(5);

    /// <summary>Takes the directory of a name, or of the first free name made of the program's.</summary>
    /// <param name="store">Where.</param>
    /// <param name="name">The name; null: one is made.</param>
    /// <param name="program">The program's file, of which a name is made.</param>
    /// <param name="patience">How long a supervisor that is ending is waited for.</param>
    /// <exception cref="HoldfastException">An application of that name runs (<c>app.running</c>).</exception>
    public static (ApplicationDirectory Directory, ApplicationLock Lock, bool IsNew) Take(Store store, string? name, string program, TimeSpan patience)
    {
        if (name is not null)
        {
            return Take(store.Application(name), patience) ?? throw Running(name);
        }

        string made = ApplicationName.From(program);
        for (int i = 1; ; i++)
        {
            ApplicationDirectory directory = store.Application(i == 1 ? made : $"{made}-{i}");
            // A name that was used before may have snapshots: they are another application's.
            if (!directory.Exists && TryTake(directory) is { } taken)
            {
                return taken;
            }
        }
    }

    /// <summary>
    /// Takes a directory. Whoever asked for an application's end has the answer a moment before its supervisor is gone: that moment is waited for, as is another command's.
    /// </summary>
    /// <returns>Null when an application runs in it.</returns>
    public static (ApplicationDirectory Directory, ApplicationLock Lock, bool IsNew)? Take(ApplicationDirectory directory, TimeSpan patience)
    {
        long began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (TryTake(directory) is { } taken)
            {
                return taken;
            }

            if ((directory.Read() is { } record && ApplicationDirectory.Runs(record)) || TimeProvider.System.GetElapsedTime(began) > patience)
            {
                return null;
            }

            Thread.Sleep(RetryInterval);
        }
    }

    private static (ApplicationDirectory Directory, ApplicationLock Lock, bool IsNew)? TryTake(ApplicationDirectory directory)
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
