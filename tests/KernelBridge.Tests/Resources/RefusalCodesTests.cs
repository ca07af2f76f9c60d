using System.Text.RegularExpressions;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>
/// Every code with which the bridge refuses something stands in a test, or here with the reason why none can have it. Both are read from the sources, so that a new code without
/// a test fails. Codes with which nothing but a failed system call is reported (<c>BridgeException</c>) are none of these.
/// </summary>
public sealed partial class RefusalCodesTests
{
    private const string OtherKernel = "takes a kernel that this one is not", Machine = "takes a machine that lacks something, or has it";

    /// <summary>Refusals that no test shows.</summary>
    private static readonly Dictionary<string, string> WithoutTest = new()
    {
        ["memory.policy"] = Machine, ["memory.shadow-stack"] = Machine, ["process.shadow-stack"] = Machine,
        ["rights.huge"] = Machine, ["host.architecture"] = Machine,
        ["fd.signalfd"] = OtherKernel, ["fd.timerfd"] = OtherKernel, ["lazy.kernel"] = OtherKernel,
        ["host.kernel"] = OtherKernel, ["host.namespace"] = OtherKernel,
        ["fd.fifo"] = "for a kind that the table knows already, should its entry not recognise it", ["fd.memfd"] = "for a kind that the table knows already, should its entry not recognise it",
        ["inject.room"] = "of an attempt; another process is asked", ["copy.failed"] = "of an attempt; memory is read while the process stands",
        ["inject.late"] = "a moment that cannot be chosen", ["tree.roots"] = "a tree is gathered from one root: only a race makes two",
        ["device.group"] = "of the module's device, which Kmod.Tests try in a guest",
        ["rights.seccomp"] = "by the turn: WithoutRootProgramTests take any code of rights",
    };

    /// <summary>Codes of failures, and names of files, that are written like refusals.</summary>
    private static readonly string[] families = ["cgroup.", "device.", "init.", "space.", "launch.", "lease.", "restore.", "file.open", "memory.max", "memory.current", "memory.stat", "memory.unreadable", "memory.unwritable", "lazy.failed", "ipc.unreadable", "intercept.board", "connections."];

    [Fact]
    public void Every_code_of_a_refusal_stands_in_a_test()
    {
        string root = Root();
        SortedSet<string> codes = [.. Sources(Path.Combine(root, "KernelBridge"), "*.cs").SelectMany(file => Code().Matches(File.ReadAllText(file)).Where(match => !Failure().IsMatch(match.Groups["before"].Value)).Select(match => match.Groups["code"].Value))];
        codes.RemoveWhere(code => !WithoutTest.ContainsKey(code) && Array.Exists(families, code.StartsWith));
        Assert.Contains("fd.lock", codes);
        string tests = string.Concat(((string[])["KernelBridge.Tests", "EndToEnd.Tests", "Runtime.Tests", "Kmod.Tests"]).SelectMany(suite => Sources(Path.Combine(root, "tests", suite), "*.cs"))
            .Where(file => Path.GetFileName(file) != "RefusalCodesTests.cs" && !file.Contains("/Support/", StringComparison.Ordinal)).Select(File.ReadAllText));
        Assert.Equal([], codes.Where(code => !WithoutTest.ContainsKey(code) && !IsNamed(code, tests)));

        // The list stays as short as it can be.
        Assert.Equal([], WithoutTest.Keys.Where(code => !codes.Contains(code) || IsNamed(code, tests)));
    }

    private static bool IsNamed(string code, string tests) => Regex.IsMatch(tests, $"""[" ]{Regex.Escape(code)}[" ]""");

    private static IEnumerable<string> Sources(string folder, string pattern) =>
        Directory.EnumerateFiles(folder, pattern, SearchOption.AllDirectories).Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal));

    private static string Root()
    {
        DirectoryInfo directory = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Runtime.sln")))
        {
            directory = directory.Parent!;
        }

        return directory.FullName;
    }

    [GeneratedRegex("(?<=(?<before>.{0,60}))\"(?<code>[a-z]+\\.[a-z0-9-]+)\"", RegexOptions.Singleline)]
    private static partial Regex Code();

    [GeneratedRegex("(BridgeException|Failure|Failed|Own|Combine|Load|File|Number)\\(\\s*([A-Za-z ?=.\"]+\\?\\s*)?$")]
    private static partial Regex Failure();
}
