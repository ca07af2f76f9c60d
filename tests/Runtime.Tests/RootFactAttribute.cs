namespace Holdfast.Runtime.Tests;

/// <summary>A fact that needs the rights to start a virtualisation space; without them it is skipped and says so.</summary>
public sealed class RootFactAttribute : FactAttribute
{
    public RootFactAttribute()
    {
        if (Environment.UserName != "root")
        {
            Skip = "needs root: it starts applications in namespaces of their own";
        }
    }
}
