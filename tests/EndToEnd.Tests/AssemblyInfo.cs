// Two classes at a time: many programs wait for most of their life, and none may be starved by the others. What compares times
// is in the collection "alone".
[assembly: CollectionBehavior(MaxParallelThreads = 2)]
[assembly: TestCollectionOrderer("Holdfast.EndToEnd.Tests.Support.LongestFirst", "Holdfast.EndToEnd.Tests")]
[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]
