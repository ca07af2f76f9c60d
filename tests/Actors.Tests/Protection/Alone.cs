namespace Holdfast.Actors.Tests.Protection;

/// <summary>
/// Tests that advance virtual time themselves, by themselves: a timer that an actor arms after the time was advanced, because it waited for a thread that
/// other tests had, comes too late by as much, and nothing moves the time on.
/// </summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
