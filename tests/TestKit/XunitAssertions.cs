using System.Globalization;
using Xunit;
using Xunit.Sdk;

namespace Akka.TestKit.Xunit2;

/// <summary>Fails tests through xunit.</summary>
public class XunitAssertions : ITestKitAssertions
{
    public void Fail(string format = "", params object[] args) => Assert.Fail(Format(format, args));

    public void AssertTrue(bool condition, string format = "", params object[] args) => Assert.True(condition, Format(format, args));

    public void AssertFalse(bool condition, string format = "", params object[] args) => Assert.False(condition, Format(format, args));

    public void AssertEqual<T>(T expected, T actual, string format = "", params object[] args)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual) && !SameSequence(expected, actual))
        {
            throw new XunitException($"{Format(format, args)}\nExpected: {expected}\nActual:   {actual}");
        }
    }

    public void AssertEqual<T>(T expected, T actual, Func<T, T, bool> comparer, string format = "", params object[] args)
    {
        if (!comparer(expected, actual))
        {
            throw new XunitException($"{Format(format, args)}\nExpected: {expected}\nActual:   {actual}");
        }
    }

    private static bool SameSequence<T>(T expected, T actual) =>
        expected is not string && expected is System.Collections.IEnumerable first && actual is System.Collections.IEnumerable second && first.Cast<object>().SequenceEqual(second.Cast<object>());

    private static string Format(string format, object[] args) =>
        args.Length == 0 ? format : string.Format(CultureInfo.InvariantCulture, format, args);
}
