using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Protection;

/// <summary>
/// Whom a policy is assigned to: an application by its name, or a group. A group is a label (<c>label:tier=gold</c>: every application
/// that was run with <c>--label tier=gold</c>) or a path (<c>path:/srv/shop</c>: every application that was run in that directory or below).
/// </summary>
/// <param name="Kind"><c>name</c>, <c>label</c> or <c>path</c>.</param>
/// <param name="Value">What comes after the colon.</param>
internal sealed record PolicyTarget(string Kind, string Value)
{
    public bool IsGroup => Kind != "name";

    /// <summary>Reads <c>NAME</c>, <c>label:KEY=VALUE</c> or <c>path:DIR</c>.</summary>
    public static PolicyTarget Parse(string text)
    {
        string[] parts = text.Split(':', 2);
        return parts switch
        {
            ["label", var label] => new PolicyTarget("label", CheckedLabel(label)),
            ["path", { Length: > 0 } path] => new PolicyTarget("path", Path.TrimEndingDirectorySeparator(Path.GetFullPath(path))),
            [_, _] => throw new HoldfastException("policy.target", $"'{text}' is no target: write NAME, label:KEY=VALUE or path:DIR", ExitStatus.Usage),
            _ => new PolicyTarget("name", ApplicationName.Checked(text)),
        };
    }

    /// <summary>Returns <c>KEY=VALUE</c>, or throws.</summary>
    public static string CheckedLabel(string label)
    {
        int at = label.IndexOf('=');
        bool valid = at > 0 && at < label.Length - 1 && label.Length <= 200 && !label.Any(c => char.IsControl(c) || char.IsWhiteSpace(c));
        return valid ? label : throw new HoldfastException("label.invalid", $"'{label}' is no label: write KEY=VALUE without blanks", ExitStatus.Usage);
    }

    /// <summary>Whether an application belongs to the group.</summary>
    public bool Includes(ApplicationRecord record) => Kind switch
    {
        "label" => record.Labels.Contains(Value),
        "path" => record.WorkingDirectory is { } directory && (directory == Value || Value == "/" || directory.StartsWith(Value + "/", StringComparison.Ordinal)),
        _ => record.Name == Value,
    };

    public override string ToString() => IsGroup ? $"{Kind}:{Value}" : Value;
}
