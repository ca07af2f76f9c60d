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

    [Fact]
    public void What_is_passed_over_is_long_and_unwritten_and_no_such_stretch_is_missed()
    {
        Random random = new(Tools.Seed(output));
        for (int round = 0; round < 200; round++)
        {
            (PageRanges ranges, HashSet<ulong> inside) = Some(random);
            UnwrittenPages unwritten = new("snapshot", ranges, verify: false);
            ulong least = (ulong)random.Next(1, 5);
            for (ulong at = 0, end; at < 80; at = end)
            {
                bool passed = unwritten.LookForMuch(at, 80, least, out end);
                Assert.InRange(end, at + 1, 80ul);
                List<ulong> stretch = [];
                for (ulong page = at; page < end; page++)
                {
                    stretch.Add(page);
                }

                if (passed)
                {
                    Assert.True(end - at >= least && stretch.All(inside.Contains));
                }
                else
                {
                    // In what is asked about there is no stretch that would have been long enough.
                    Assert.DoesNotContain(stretch, page => !inside.Contains(page - 1) && Enumerable.Range(0, (int)least).All(i => page + (ulong)i < end && inside.Contains(page + (ulong)i)));
                }
            }
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
