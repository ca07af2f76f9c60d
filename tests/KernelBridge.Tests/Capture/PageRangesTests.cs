using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Sets of ranges are what sets of their pages are.</summary>
public sealed class PageRangesTests(ITestOutputHelper output)
{
    [Fact]
    public void Union_difference_and_membership_are_those_of_the_pages()
    {
        Random random = new(Tools.Seed(output));
        for (int round = 0; round < 200; round++)
        {
            (PageRanges a, HashSet<ulong> inA) = Some(random);
            (PageRanges b, HashSet<ulong> inB) = Some(random);
            Assert.Equal(inA.Union(inB).Order(), Pages(a.Union(b)));
            Assert.Equal(inA.Except(inB).Order(), Pages(a.Without(b)));
            Assert.Equal((ulong)inA.Count, a.Length);
            Assert.Equal((ulong)inA.Union(inB).Count(), a.Union(b).Length);
        }
    }

    private static (PageRanges Ranges, HashSet<ulong> Pages) Some(Random random)
    {
        PageRanges ranges = new();
        HashSet<ulong> pages = [];
        for (ulong at = 0; at < 64;)
        {
            ulong end = at + (ulong)random.Next(1, 6);
            if (random.Next(2) == 0)
            {
                ranges.Append(at, end);
                for (; at < end; at++)
                {
                    pages.Add(at);
                }
            }

            at = end;
        }

        return (ranges, pages);
    }

    private static List<ulong> Pages(PageRanges ranges)
    {
        List<ulong> pages = [];
        for (ulong at = 0, end; at < 80; at = end)
        {
            if (ranges.Contains(at, 80, out end))
            {
                for (ulong page = at; page < end; page++)
                {
                    pages.Add(page);
                }
            }
        }

        return pages;
    }
}
