using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Tests.Resources;

public sealed class TypedInputTests
{
    [Fact]
    public void As_much_as_a_line_discipline_holds_is_taken()
    {
        Assert.True(TypedInput.None.IsValid);
        Assert.True(new TypedInput([new byte[4000]], new byte[96], new byte[TerminalInput.MostBehind]).IsValid);
    }

    [Fact]
    public void What_cannot_have_come_from_one_is_refused()
    {
        Assert.False(new TypedInput([new byte[4000]], new byte[97], []).IsValid);
        Assert.False(new TypedInput([.. Enumerable.Repeat(Array.Empty<byte>(), 4097)], [], []).IsValid);
        Assert.False(new TypedInput([], [], new byte[TerminalInput.MostBehind + 1]).IsValid);
        Assert.False(new TypedInput([null!], [], []).IsValid);
        Assert.False(new TypedInput(null!, [], []).IsValid);
        Assert.False(new TypedInput([], null!, []).IsValid);
        Assert.False(new TypedInput([], [], null!).IsValid);
    }
}
