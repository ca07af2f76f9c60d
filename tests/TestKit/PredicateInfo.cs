namespace Akka.TestKit;

/// <summary>A predicate over messages of one type, for <see cref="TestKitBase.ExpectMsgAllOfMatchingPredicates(PredicateInfo[])"/>.</summary>
public class PredicateInfo
{
    private readonly Func<object, bool> _fits;

    private PredicateInfo(Delegate predicate, Type type, Func<object, bool> fits)
    {
        PredicateT = predicate;
        Type = type;
        _fits = fits;
    }

    public Delegate PredicateT { get; }

    public Type Type { get; }

    public static PredicateInfo Create<T>(Predicate<T> predicateT) => new(predicateT, typeof(T), message => message is T typed && predicateT(typed));

    internal bool Fits(object message) => _fits(message);

    public override string ToString() => $"PredicateInfo<{Type}>: {PredicateT}";
}

/// <summary>Makes <see cref="PredicateInfo"/>.</summary>
public static class PredicateInfoFactory
{
    public static PredicateInfo CreatePredicateInfo<T>(this Predicate<T> predicateT) => PredicateInfo.Create(predicateT);

    public static PredicateInfo CreatePredicateInfo<T>(this Delegate predicateT) => PredicateInfo.Create<T>(message => (bool)predicateT.DynamicInvoke(message)!);
}
