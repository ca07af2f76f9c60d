using NodaTime;

namespace Holdfast.Policies.Tests;

/// <summary>Random policies, repeatable from their seed.</summary>
internal sealed class RandomPolicies(Random random)
{
    private static readonly string[] ZoneIds = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"];

    private T Pick<T>(params T[] items) => items[random.Next(items.Length)];

    private bool Chance(int percent) => random.Next(100) < percent;

    public ValueList<Policy> Set(int count, bool limits) => Enumerable.Range(0, count).Select(i => Policy(((char)('a' + i)).ToString(), limits)).ToValueList();

    public Policy Policy(string name, bool limits)
    {
        var rules = Enumerable.Range(0, Pick(0, 1, 1, 1, 2, 2)).Select(i => Rule(name, $"r{i}")).ToList();
        if (Chance(5))
        {
            rules.Add(new PointRule([new RuleId(name, "any")], new Clause(new AnyPointDemand(), Keep(), Terms()), SourcePosition.None));
        }

        var blackouts = limits && Chance(50)
            ? Enumerable.Range(0, random.Next(1, 3)).Select(i => new LimitRule([new RuleId(name, $"l{i}")], Blackout(), SourcePosition.None)).ToValueList()
            : [];
        return new Policy(name, rules.ToValueList(), blackouts);
    }

    public PointRule Rule(string policy, string name) => new([new RuleId(policy, name)], new Clause(Demand(), Keep(), Terms()), SourcePosition.None);

    public Demand Demand()
    {
        if (Chance(50))
        {
            var interval = Pick(Times.Minutes(7), Times.Minutes(30), Times.Hours(1), Times.Minutes(100), Times.Hours(2), Times.Hours(5), Times.Hours(12), Times.Days(1), Times.Days(2.5), Times.Days(7));
            return new EveryDemand(interval, Chance(30) ? new TimeWindows(Enumerable.Range(0, random.Next(1, 3)).Select(_ => Window()).ToValueList(), Pick(ZoneIds), Chance(25)) : null);
        }

        var pattern = random.Next(10) switch
        {
            < 2 => CalendarPattern.Hourly(random.Next(60)),
            < 6 => CalendarPattern.Daily(Time(), Chance(50) ? WeekDays.All : (WeekDays)random.Next(1, 128)),
            < 9 => CalendarPattern.Monthly(random.Next(1, 32), Time()),
            _ => CalendarPattern.Yearly(random.Next(1, 13), random.Next(1, 32), Time()),
        };
        var most = pattern.Period == AnchorPeriod.Hour ? 25 : 300;
        return new CalendarDemand(pattern, Pick(ZoneIds), Times.Minutes(Chance(40) ? 0 : random.Next(most)), Times.Minutes(Chance(20) ? 0 : random.Next(most)), !Chance(15));
    }

    public Keep Keep()
    {
        var per = new List<KeepPer>();
        foreach (var period in Enum.GetValues<KeepPeriod>())
        {
            if (Chance(15))
            {
                per.Add(new KeepPer(period, random.Next(1, 15), Pick(ZoneIds)));
            }
        }

        return new Keep(Chance(60) ? Pick(Times.Hours(6), Times.Days(1), Times.Days(7), Times.Days(30)) : Duration.Zero, Chance(30) ? random.Next(1, 30) : 0, per.Order().ToValueList());
    }

    public PointTerms Terms()
    {
        var devices = new[] { "nas", "s3", "tape" }.Where(_ => Chance(15)).Select(d => new CopyTo(d, Pick(Times.Minutes(10), Times.Hours(1), Times.Hours(8)))).ToValueList();
        var atLeast = Chance(10) ? random.Next(1, 4) : 0;
        return new PointTerms(
            Pick(Consistency.Crash, Consistency.Crash, Consistency.Application, Consistency.Volumes),
            new Copies(devices, atLeast, atLeast > 0 ? Times.Hours(random.Next(1, 9)) : Quantity.Forever),
            Chance(80) ? StorageTerms.Any : new StorageTerms(Pick(Enum.GetValues<StorageTier>()), Pick(Enum.GetValues<Compression>()), Chance(50), Chance(50) ? Times.Days(random.Next(1, 9)) : Duration.Zero));
    }

    private Limit Blackout() => new BlackoutLimit(Window(), Pick(ZoneIds));

    private WeeklyWindow Window()
    {
        var from = Time();
        return new WeeklyWindow(Chance(50) ? WeekDays.All : (WeekDays)random.Next(1, 128), from, from.PlusMinutes(random.Next(10, 600)));
    }

    private LocalTime Time() => new(random.Next(24), Chance(50) ? 0 : random.Next(60));
}
