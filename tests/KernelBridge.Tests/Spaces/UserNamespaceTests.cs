using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed partial class UserNamespaceTests
{
    private const int PermissionDenied = 13;

    [Fact]
    public void Every_step_of_the_source_has_words_and_a_remedy()
    {
        string source = File.ReadAllText(Path.Combine(SourceFolder(), "enter.c"));
        Dictionary<string, int> steps = Step().Matches(source).ToDictionary(m => m.Groups[1].Value, m => int.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture));
        Assert.Equal(UserNamespace.MountProcStep, steps["STEP_MOUNT_PROC"]);
        Assert.Null(UserNamespace.Explain(steps["STEP_NONE"], 0));
        Assert.All(steps.Values.Where(step => step != 0), step =>
        {
            (string why, string remedy) = UserNamespace.Explain(step, PermissionDenied)!.Value;
            Assert.Contains("ermission", why);
            Assert.Contains("root", remedy);
        });

        Assert.All(steps.Values.Where(step => step != 0), step => Assert.DoesNotContain($"step {step}", UserNamespace.Explain(step, PermissionDenied)!.Value.Why));
    }

    [Fact]
    public void A_trial_leaves_no_descriptor()
    {
        int Open() => Directory.GetFiles("/proc/self/fd").Count(fd => new FileInfo(fd).LinkTarget?.Contains("holdfast-enter", StringComparison.Ordinal) == true);
        (string Why, string Remedy)? first = UserNamespace.Try();
        Assert.Equal(first, UserNamespace.Try());
        Assert.Equal(0, Open());
    }

    [GeneratedRegex(@"(STEP_\w+) = (\d+),")]
    private static partial Regex Step();

    private static string SourceFolder([CallerFilePath] string here = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../KernelBridge/Spaces"));
}
