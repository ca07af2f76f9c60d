using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>Published on the event stream while the memory of an application that runs already is being loaded, and once when that is done.</summary>
/// <param name="Progress">How far it is.</param>
/// <param name="Complete">Nothing is missing any more.</param>
public sealed record LoadingReported(LoadingProgress Progress, bool Complete);

/// <summary>From the coordinator of a lazy restore to its parent, whose the loading is from then on.</summary>
internal sealed record LoadingBegan(IMemoryLoading Loading);

/// <summary>Everything is in place.</summary>
internal sealed record LoadingDone;

/// <summary>What is missing cannot be had.</summary>
internal sealed record LoadingBroke(Exception Cause);

internal sealed record StepLoading;
