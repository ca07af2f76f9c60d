namespace Holdfast.KernelBridge.Interception;

/// <summary>Where the checkpoint threads of the processes wait for each other, when all are ready. Disposing it lets them go on.</summary>
internal interface IMeetingPoint : IDisposable
{
    /// <summary>What is handed to the processes.</summary>
    int Descriptor { get; }

    /// <summary>For poll(2): POLLPRI when somebody has come.</summary>
    int News { get; }

    /// <summary>Host pids of those who have come since it was asked last.</summary>
    IReadOnlyList<int> Arrived();

    /// <summary>Whoever waits goes on as if all had come.</summary>
    void Open();
}
