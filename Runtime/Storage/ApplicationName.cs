namespace Holdfast.Runtime.Storage;

/// <summary>
/// Names of applications: letters, digits, <c>-</c>, <c>_</c> and <c>.</c>, the first of them a letter or a digit, at most 63.
/// They are directory names and host names, and <c>NAME@SNAPSHOT</c> must stay readable.
/// </summary>
internal static class ApplicationName
{
    public const int MaximumLength = 63;

    public static bool IsValid(string name) =>
        name.Length is > 0 and <= MaximumLength && char.IsAsciiLetterOrDigit(name[0]) && name.All(Allowed);

    /// <summary>Returns it, or throws.</summary>
    public static string Checked(string name) => IsValid(name)
        ? name
        : throw new HoldfastException(
            "name.invalid",
            $"'{name}' is not a name: it takes letters, digits, '-', '_' and '.', a letter or digit first, at most {MaximumLength}",
            ExitStatus.Usage);

    /// <summary>A name made of what a program is called.</summary>
    public static string From(string program)
    {
        string name = new string([.. Path.GetFileName(program).Select(c => Allowed(c) ? c : '-')]).TrimStart('-', '_', '.');
        name = name.Length > 50 ? name[..50] : name;
        return name.Length == 0 ? "app" : name;
    }

    private static bool Allowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.';
}
