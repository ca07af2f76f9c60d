using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Tests.Resources;

internal static class DescriptorTestsSupport
{
    public static void AssertFacts(int pid, int number, string path, int flags, bool closeOnExec, bool deleted)
    {
        DescriptorFacts facts = DescriptorFacts.ReadAll(pid, pid).Single(facts => facts.Number == number);
        Assert.Equal((path, flags, closeOnExec, deleted, 0L), (facts.Path, facts.Flags, facts.CloseOnExec, facts.Deleted, facts.Position));
        Assert.Empty(facts.Locks);
        Assert.Null(facts.Signals);
    }
}
