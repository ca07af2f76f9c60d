using System.Reflection;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Runs the conformance suite over the device one test after the other, in a guest in which a test platform takes longer to start than the tests: a line for each.</summary>
internal static class ConformanceRunner
{
    /// <summary>Its tests.</summary>
    private static IEnumerable<MethodInfo> Tests => typeof(DeviceBridgeConformance).GetMethods().Where(method => method.IsDefined(typeof(FactAttribute))).OrderBy(method => method.Name, StringComparer.Ordinal);

    /// <summary>Names all tests, or runs those that are named: all of them when none is.</summary>
    public static int Run(string[] args)
    {
        if (args is ["--list"])
        {
            foreach (MethodInfo test in Tests)
            {
                Console.WriteLine(test.Name);
            }

            return 0;
        }

        int failed = 0;
        foreach (MethodInfo test in Tests.Where(test => args.Length == 0 || args.Contains(test.Name)))
        {
            try
            {
                using DeviceBridgeConformance suite = new();
                test.Invoke(suite, null);
                Console.WriteLine($"pass {test.Name}");
            }
            catch (Exception e)
            {
                failed++;
                Console.WriteLine($"fail {test.Name}: {e.GetBaseException()}");
            }
        }

        return failed == 0 ? 0 : 1;
    }
}
