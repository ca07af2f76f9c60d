using System.Buffers;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Arrays that are used again by whichever thread comes next. A checkpoint has a thread for each process, which ends with it: the shared pool of .NET would
/// keep one of each size for every one of them, some 1.7 MiB, until a collection of the oldest generation.
/// </summary>
/// <typeparam name="T">The elements.</typeparam>
internal static class LargeArrays<T>
{
    /// <summary>The largest that is kept, in elements; a larger one is made anew each time.</summary>
    private const int Largest = 1 << 20;

    /// <summary>Of each size: those with which the processors there are work. What is beyond is made anew.</summary>
    private const int Kept = 12;

    /// <summary>The pool.</summary>
    public static ArrayPool<T> Pool { get; } = ArrayPool<T>.Create(Largest, Kept);
}
