namespace Holdfast.Snapshots;

/// <summary>A snapshot store could not do what was asked: the message says what, where and, where there is one, the remedy.</summary>
public class SnapshotStoreException : IOException
{
    /// <summary>Makes one.</summary>
    /// <param name="code">Stable code, such as <c>store.full</c>.</param>
    /// <param name="message">What failed, where, and what to do.</param>
    /// <param name="inner">The cause, if another exception is.</param>
    public SnapshotStoreException(string code, string message, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
    }

    /// <summary>
    /// Stable code: <c>store.io</c>, <c>store.full</c>, <c>store.quota</c>, <c>store.invalid</c>, <c>store.key</c>, <c>store.busy</c>,
    /// <c>snapshot.damaged</c>, <c>snapshot.unknown</c>, <c>snapshot.exists</c>, <c>name.invalid</c>, and those that other members document.
    /// </summary>
    public string Code { get; }
}
