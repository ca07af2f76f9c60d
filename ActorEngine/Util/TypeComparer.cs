using System.Runtime.CompilerServices;

namespace Akka.Util;

/// <summary>
/// Compares types, of which there is one object each. The comparer that a dictionary makes for itself is made by reflection, which a start would wait for.
/// </summary>
internal sealed class TypeComparer : IEqualityComparer<Type>
{
    public static readonly TypeComparer Instance = new();

    private TypeComparer()
    {
    }

    public bool Equals(Type? x, Type? y) => ReferenceEquals(x, y);

    public int GetHashCode(Type obj) => RuntimeHelpers.GetHashCode(obj);
}
