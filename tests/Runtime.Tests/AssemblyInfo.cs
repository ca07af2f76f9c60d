using System.Runtime.Versioning;

[assembly: SupportedOSPlatform("linux")]

// The commands of these tests compete for two processors as it is.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
