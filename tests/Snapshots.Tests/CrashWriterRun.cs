using System.Diagnostics;

namespace Holdfast.Snapshots.Tests;

/// <summary>Runs the program that writes snapshots, under strace.</summary>
internal static class CrashWriterRun
{
    private const string Calls = "openat,open,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,fallocate";

    private static string Program
    {
        get
        {
            // bin/CONFIGURATION/net10.0 of the tests.
            string framework = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);
            string configuration = Path.GetDirectoryName(framework)!;
            string project = Path.GetDirectoryName(Path.GetDirectoryName(configuration))!;
            return Path.Combine(project, "CrashWriter", "bin", Path.GetFileName(configuration), Path.GetFileName(framework), "Holdfast.Snapshots.CrashWriter.dll");
        }
    }

    /// <summary>Records every call that changes files.</summary>
    public static void Record(string store, int rounds, int seed, string trace)
    {
        (int status, _) = Strace(["--seccomp-bpf", "-y", "-xx", "-s", "2000000", "-e", $"trace={Calls}", "-o", trace], store, rounds, seed);
        Assert.Equal(0, status);
    }

    /// <summary>Kills the program at one of its calls.</summary>
    /// <returns>What it said before.</returns>
    public static string[] Kill(string store, int rounds, int seed, int call)
    {
        const string Changing = "pwrite64,fsync,rename,link,unlink,ftruncate,fallocate";
        (_, string output) = Strace(
            ["-e", $"trace={Changing}", "-e", $"inject={Changing}:signal=SIGKILL:when={call}", "-o", "/dev/null"], store, rounds, seed);

        // The last line may have been cut.
        return output[..(output.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static (int Status, string Output) Strace(string[] options, string store, int rounds, int seed)
    {
        var start = new ProcessStartInfo("strace") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])["-f", "-qq", .. options, "dotnet", Program, store, $"{rounds}", $"{seed}"])
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        _ = errors;
        return (process.ExitCode, output);
    }
}
