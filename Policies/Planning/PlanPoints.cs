using System.Collections;

namespace Holdfast.Policies;

/// <summary>That a point serves a source, by their numbers.</summary>
internal readonly record struct Served(int Point, int Source, long Start, long Due, long Occurrence, bool Late);

/// <summary>
/// The points of a plan, decided but not yet spelled out: a year at one minute is half a million of them, of which hardly
/// anybody looks at more than the first.
/// </summary>
internal sealed class PlanPoints : IReadOnlyList<PlannedPoint>
{
    private readonly long[] _times;
    private readonly Served[] _served;
    private readonly int[] _starts;
    private readonly List<Obligations> _sources;
    private readonly List<PointRule> _anyPoint;
    private readonly PointTerms _ofEvery;

    /// <param name="times">The seconds of the points.</param>
    /// <param name="served">Who is served, sorted by point.</param>
    /// <param name="until">The last second that counts.</param>
    /// <param name="sources">The rules that are served.</param>
    /// <param name="anyPoint">The rules that every point serves.</param>
    /// <param name="ofEvery">The join of their terms.</param>
    public PlanPoints(long[] times, List<Served> served, long until, List<Obligations> sources, List<PointRule> anyPoint, PointTerms ofEvery)
    {
        _times = times;
        _served = [.. served];
        _sources = sources;
        _anyPoint = anyPoint;
        _ofEvery = ofEvery;
        var starts = new List<int>(times.Length + 1);
        var end = 0;
        for (; end < _served.Length && times[_served[end].Point] <= until; end++)
        {
            if (end == 0 || _served[end].Point != _served[end - 1].Point)
            {
                starts.Add(end);
            }
        }

        starts.Add(end);
        _starts = [.. starts];
    }

    public int Count => _starts.Length - 1;

    public PlannedPoint this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
            var served = _served.AsSpan(_starts[index], _starts[index + 1] - _starts[index]);
            var second = _times[served[0].Point];
            var at = second.ToInstant();
            var terms = _ofEvery;
            var services = new Service[served.Length + _anyPoint.Count];
            for (var i = 0; i < served.Length; i++)
            {
                ref readonly var one = ref served[i];
                var rule = _sources[one.Source].Rule;
                terms = rule.Clause.Terms.Join(terms);
                services[i] = new Service(rule, one.Start.ToInstant(), one.Due.ToInstant(), one.Occurrence == second ? at : one.Occurrence.ToInstant(), one.Late);
            }

            for (var i = 0; i < _anyPoint.Count; i++)
            {
                services[served.Length + i] = new Service(_anyPoint[i], at, at, at, false);
            }

            return new PlannedPoint(at, new ValueList<Service>(services), terms);
        }
    }

    public IEnumerator<PlannedPoint> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
