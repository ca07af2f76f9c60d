using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Holdfast.KernelBridge.CharDevice;

namespace Holdfast.Kmod.Tests;

/// <summary>The header, the man page and the constants of the client agree.</summary>
public sealed partial class HeaderTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("holdfast-header-").FullName;

    private static string Header => File.ReadAllText(Path.Combine(Shell.Module, "uapi", "ckpt.h"));

    private static FieldInfo[] Constants => typeof(CkptAbi).GetFields(BindingFlags.Public | BindingFlags.Static);

    private static Type[] Structures => [.. typeof(CkptStructures).GetNestedTypes().Where(type => !type.IsDefined(typeof(System.Runtime.CompilerServices.CompilerGeneratedAttribute)))];

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void Every_offset_and_size_is_that_of_the_compiled_header()
    {
        StringBuilder program = new();
        List<string> expected = [];
        foreach (Type type in Structures)
        {
            string name = $"struct ckpt_{Snake(type.Name)}";
            program.AppendLine($"printf(\"{name} %zu\\n\", sizeof({name}));");
            expected.Add($"{name} {Marshal.SizeOf(type)}");
            foreach (FieldInfo field in type.GetFields())
            {
                program.AppendLine($"printf(\"{name}.{Snake(field.Name)} %zu %zu\\n\", offsetof({name}, {Snake(field.Name)}), sizeof((({name} *)0)->{Snake(field.Name)}));");
                expected.Add($"{name}.{Snake(field.Name)} {Marshal.OffsetOf(type, field.Name)} {SizeOf(field)}");
            }
        }

        Assert.Equal(expected, Compiled(program.ToString()));
    }

    [Fact]
    public void Every_number_is_that_of_the_compiled_header()
    {
        string program = string.Concat(Constants.Select(field => $"printf(\"{field.Name} %llu\\n\", (unsigned long long)CKPT_{Snake(field.Name).ToUpperInvariant()});\n"));

        Assert.Equal(Constants.Select(field => $"{field.Name} {field.GetRawConstantValue()}"), Compiled(program));
    }

    [Fact]
    public void Nothing_of_the_header_is_left_out()
    {
        Assert.Equal(
            Definition().Matches(Header).Select(match => match.Groups[1].Value).Order(StringComparer.Ordinal),
            Constants.Select(field => $"CKPT_{Snake(field.Name).ToUpperInvariant()}").Order(StringComparer.Ordinal));
        Assert.Equal(
            Structure().Matches(Header).SelectMany(match => Field().Matches(match.Groups[2].Value).SelectMany(field => field.Groups[1].Value.Split(',')).Select(field => $"{match.Groups[1].Value}.{field.Split('[')[0].Trim()}")),
            Structures.SelectMany(type => type.GetFields().Select(field => $"{Snake(type.Name)}.{Snake(field.Name)}")));
    }

    [Fact]
    public void The_man_page_describes_every_call_and_no_other()
    {
        string[] lines = File.ReadAllLines(Path.Combine(Shell.Module, "man", "ckpt.4"));
        string[] described = [.. lines.Select(line => DescribedCall().Match(line)).Where(match => match.Success).Select(match => match.Groups[1].Value)];

        Assert.Equal(Call().Matches(Header).Select(match => match.Groups[1].Value), described);
    }

    [Fact]
    public void The_man_page_names_every_feature_and_event()
    {
        string page = File.ReadAllText(Path.Combine(Shell.Module, "man", "ckpt.4"));

        Assert.All(Definition().Matches(Header).Select(match => match.Groups[1].Value).Where(name => name.StartsWith("CKPT_FEATURE_") || name.StartsWith("CKPT_EVENT_") || name.StartsWith("CKPT_RECORD_")), name => Assert.Contains(name, page));
    }

    [Fact]
    public void The_header_stands_alone_and_has_no_hidden_padding()
    {
        string source = Path.Combine(directory, "alone.c");
        File.WriteAllText(source, "#include \"uapi/ckpt.h\"\n");

        CommandResult compiled = Shell.Run("cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wpadded", "-I", Shell.Module, "-c", "-o", "/dev/null", source);
        Assert.True(compiled.Status == 0, compiled.ToString());
    }

    private static int SizeOf(FieldInfo field) =>
        field.GetCustomAttribute<System.Runtime.CompilerServices.FixedBufferAttribute>() is { } array ? array.Length : Marshal.SizeOf(field.FieldType);

    private static string Snake(string name) => Capital().Replace(name, "_$1").ToLowerInvariant();

    private string[] Compiled(string body)
    {
        string source = Path.Combine(directory, "offsets.c"), binary = Path.Combine(directory, "offsets");
        File.WriteAllText(source, $"#include <stdio.h>\n#include <stddef.h>\n#include \"uapi/ckpt.h\"\nint main(void)\n{{\n{body}return 0;\n}}\n");
        CommandResult compiled = Shell.Run("cc", "-Wall", "-Werror", "-I", Shell.Module, "-o", binary, source);
        Assert.True(compiled.Status == 0, compiled.ToString());
        return Shell.Run(binary).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    [GeneratedRegex("(?<=.)([A-Z])")]
    private static partial Regex Capital();

    [GeneratedRegex(@"^#define (CKPT_\w+)[ \t]", RegexOptions.Multiline)]
    private static partial Regex Definition();

    [GeneratedRegex(@"^#define (CKPT_\w+)\s+_IOW", RegexOptions.Multiline)]
    private static partial Regex Call();

    [GeneratedRegex(@"^struct ckpt_(\w+) \{(.*?)^\};", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Structure();

    [GeneratedRegex(@"^\s+(?:__[us]\d+|char|struct ckpt_record) ([^;]+);", RegexOptions.Multiline)]
    private static partial Regex Field();

    [GeneratedRegex(@"^\.BR? (CKPT_\w+) \(struct ckpt_\w+\)")]
    private static partial Regex DescribedCall();
}
