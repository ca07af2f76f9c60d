using System.Globalization;
using System.Runtime.InteropServices;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>Somebody who is not root, and needs no entry anywhere: a user and a group of one number, no capabilities.</summary>
internal sealed partial record OrdinaryUser(int Id, params IReadOnlyList<int> Groups)
{
    /// <summary>A number that no user of a machine is likely to have.</summary>
    public const int UsualId = 54321;

    /// <summary>Why such a user cannot be had here; null when he can.</summary>
    public static string? Missing { get; } = Ask();

    /// <summary>What stands in front of a command that is to be his.</summary>
    public IReadOnlyList<string> Prefix
    {
        get
        {
            var id = Id.ToString(CultureInfo.InvariantCulture);
            return ["/usr/bin/setpriv", "--reuid", id, "--regid", id, .. Groups.Count == 0 ? (string[])["--clear-groups"] : ["--groups", string.Join(',', Groups)]];
        }
    }

    /// <summary>Makes a file or directory his.</summary>
    public void Own(string path)
    {
        if (ChangeOwner(path, (uint)Id, (uint)Id) < 0)
        {
            throw new EndToEndException($"chown {path}: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    private static string? Ask()
    {
        CommandRunner runner = new(Path.GetTempPath(), new Dictionary<string, string>());
        OrdinaryUser user = new(UsualId);
        // He may not build the tree: that is done before.
        runner.Run(TimeSpan.FromMinutes(15), Repository.HoldfastCommand, "--help").Required();
        return !File.Exists(user.Prefix[0]) ? "setpriv is not installed"
            : !runner.Run(TimeSpan.FromSeconds(60), user.Prefix[0], [.. user.Prefix.Skip(1), "test", "-x", Repository.HoldfastCommand]).Succeeded ? $"other users may not enter {Repository.Root}"
            : null;
    }

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwner(string path, uint user, uint group);
}

/// <summary>A test of an ordinary user; where there can be none, it is skipped.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class OrdinaryUserFactAttribute : FactAttribute
{
    public OrdinaryUserFactAttribute() => Skip = OrdinaryUser.Missing;
}

/// <summary>The same for rows of data.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class OrdinaryUserTheoryAttribute : TheoryAttribute
{
    public OrdinaryUserTheoryAttribute() => Skip = OrdinaryUser.Missing;
}
