namespace Holdfast.Actors;

/// <summary>A step on one process failed in a way that nobody expected: it crashes the actor, and the strategy decides.</summary>
public sealed class ProcessStepException : Exception
{
    /// <summary>Makes one.</summary>
    /// <param name="pid">Host pid of the process; 0 for the application as a whole.</param>
    /// <param name="step">What was being done.</param>
    /// <param name="cause">The unexpected exception.</param>
    public ProcessStepException(int pid, string step, Exception cause)
        : base(pid == 0 ? $"{step} of the application" : $"{step} of process {pid}", cause)
    {
        Pid = pid;
    }

    /// <summary>Host pid of the process; 0 for the application as a whole.</summary>
    public int Pid { get; }
}
