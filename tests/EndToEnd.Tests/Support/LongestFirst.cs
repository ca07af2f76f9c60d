using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>Begins with the classes that take longest, so that in the end no processor waits for one of them.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] Long =
    [
        nameof(RestoredInARowTests), nameof(DamagedImageTests), nameof(InterceptTests), nameof(VolumeTests), nameof(LeakTests), nameof(LazyRestoreTests), nameof(ApplicationTests),
        nameof(RestartableSequenceTests), nameof(ServerTests), nameof(PlainRunTests),
    ];

    /// <summary>The collections of xunit, one for each class that names none, in the order in which they begin.</summary>
    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(collection => Array.FindIndex(Long, name => collection.DisplayName.EndsWith($".{name}", StringComparison.Ordinal)) is >= 0 and var place ? place : Long.Length);
}
