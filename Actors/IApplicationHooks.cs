namespace Holdfast.Actors;

/// <summary>What an administrator has run around the freeze of an application: made by the host, called away from the actors, may block.</summary>
public interface IApplicationHooks
{
    /// <summary>Everything runs, and nothing has been done to the application yet. What it throws calls off the checkpoint.</summary>
    /// <param name="cancellation">The checkpoint is called off.</param>
    void BeforeFreeze(CancellationToken cancellation);

    /// <summary>
    /// The application runs again; called exactly once after every <see cref="BeforeFreeze"/>, one that failed included, unless the application has ended with its
    /// checkpoint. What it throws becomes a warning.
    /// </summary>
    /// <param name="captured">Whether the application was captured.</param>
    void AfterResume(bool captured);
}
