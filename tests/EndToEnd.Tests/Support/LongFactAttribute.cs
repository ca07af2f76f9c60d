namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>A test that takes so long that only <c>./test --long</c> runs it.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LongFactAttribute : FactAttribute
{
    /// <param name="takes">How long.</param>
    public LongFactAttribute(string takes) => Skip = LongMode.IsOn ? null : $"it takes {takes}: ./test --long runs it";
}
