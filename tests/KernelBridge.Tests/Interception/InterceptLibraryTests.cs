using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Holdfast.KernelBridge.Interception;

namespace Holdfast.KernelBridge.Tests.Interception;

/// <summary>The interceptor that is embedded is what its sources compile to, and speaks the language of this side.</summary>
public sealed partial class InterceptLibraryTests
{
    [Fact]
    public void The_checked_in_library_is_what_its_sources_compile_to()
    {
        Assert.Equal(File.ReadAllBytes(Path.Combine(Folder(), "libckpt-intercept.so")), InterceptLibrary.Code);
        string[] compiler = [FirstLine("gcc"), FirstLine("ld")];
        if (!compiler.SequenceEqual(File.ReadAllLines(Path.Combine(Folder(), "intercept.compiler"))))
        {
            // Another compiler may rightly choose other instructions.
            return;
        }

        DirectoryInfo work = Directory.CreateTempSubdirectory("holdfast-intercept-");
        try
        {
            using Process build = Process.Start(Path.Combine(Folder(), "build-intercept.sh"), [work.FullName]);
            build.WaitForExit();
            Assert.Equal(0, build.ExitCode);
            Assert.Equal(File.ReadAllBytes(Path.Combine(work.FullName, "libckpt-intercept.so")), InterceptLibrary.Code);
        }
        finally
        {
            work.Delete(recursive: true);
        }
    }

    [Fact]
    public void It_asks_for_no_version_of_a_C_library()
    {
        // A symbol with a version ends a program that has an older library, before it has begun.
        using Process readelf = Process.Start(new ProcessStartInfo("readelf", ["-dW", Path.Combine(Folder(), "libckpt-intercept.so")]) { RedirectStandardOutput = true })!;
        string text = readelf.StandardOutput.ReadToEnd();
        readelf.WaitForExit();
        Assert.DoesNotContain("VERNEED", text, StringComparison.Ordinal);
        Assert.Equal(["libc.so.6"], Needed().Matches(text).Select(match => match.Groups[1].Value));
    }

    [Fact]
    public void Both_sides_have_the_same_numbers_and_names()
    {
        string header = File.ReadAllText(Path.Combine(Folder(), "protocol.h"));
        (string Name, string Value)[] all =
        [
            ("CKPT_DIRECTORY", $"\"{InterceptAbi.Directory}\""), ("CKPT_BOARD", $"CKPT_DIRECTORY \"{InterceptAbi.Board[InterceptAbi.Directory.Length..]}\""),
            ("CKPT_LIBRARY", $"CKPT_DIRECTORY \"{InterceptAbi.Library[InterceptAbi.Directory.Length..]}\""), ("CKPT_THREAD", $"\"{InterceptAbi.ThreadName}\""),
            ("CKPT_BOARD_SIZE", $"{InterceptAbi.BoardSize}"), ("CKPT_BOARD_MAGIC", $"0x{InterceptAbi.Magic:x}ULL"), ("CKPT_WAKE_ALL", $"0x{InterceptAbi.WakeAll:x}u"),
            ("CKPT_MOST_LEFT_OUT", $"{InterceptAbi.MostLeftOut}"), ("CKPT_TEXT", $"{InterceptAbi.TextLength}"),
            .. Enum.GetValues<BoardOperation>().Select(value => ($"CKPT_BOARD_{value.ToString().ToUpperInvariant()}", $"{(uint)value}")),
            .. Enum.GetValues<InterceptMessageKind>().Select(value => ($"CKPT_SAY_{value.ToString().ToUpperInvariant()}", $"{(uint)value}")),
        ];
        Dictionary<string, string> defined = Defined().Matches(header).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value.Trim());
        Assert.All(all, pair => Assert.Equal(pair.Value, defined[pair.Name]));
        Assert.Equal(all.Select(pair => pair.Name).Append("CKPT_PROTOCOL_H").Order(), defined.Keys.Order());
    }

    [Fact]
    public void Both_sides_have_the_same_structures()
    {
        DirectoryInfo work = Directory.CreateTempSubdirectory("holdfast-protocol-");
        try
        {
            string source = Path.Combine(work.FullName, "sizes.c");
            (string Structure, string Field, int Offset)[] fields =
            [
                ("ckpt_board", "magic", Offset<BoardContents>("Magic")), ("ckpt_board", "generation", Offset<BoardContents>("Generation")),
                ("ckpt_board", "operation", Offset<BoardContents>("Operation")), ("ckpt_board", "nonce", Offset<BoardContents>("Nonce")),
                ("ckpt_board", "filters", Offset<BoardContents>("Filters")), ("ckpt_board", "left_out", Offset<BoardContents>("LeftOut")), ("ckpt_board", "pids", Offset<BoardContents>("Pids")), ("ckpt_message", "kind", Offset<InterceptMessage>("Kind")),
                ("ckpt_message", "value", Offset<InterceptMessage>("Value")), ("ckpt_message", "second", Offset<InterceptMessage>("Second")),
                ("ckpt_message", "text", Offset<InterceptMessage>("Text")),
            ];
            File.WriteAllText(source, $"""
                #include <stddef.h>
                #include "protocol.h"
                {string.Join('\n', fields.Select(field => $"_Static_assert(offsetof(struct {field.Structure}, {field.Field}) == {field.Offset}, \"{field.Field}\");"))}
                _Static_assert(sizeof(struct ckpt_board) == {Marshal.SizeOf<BoardContents>()}, "board");
                _Static_assert(sizeof(struct ckpt_message) == {Marshal.SizeOf<InterceptMessage>()}, "message");
                """);
            using Process compiler = Process.Start("gcc", ["-I", Folder(), "-fsyntax-only", source]);
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }
        finally
        {
            work.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("A=1", "A=1 LD_PRELOAD=OURS")]
    [InlineData("LD_PRELOAD=/x.so A=1", "A=1 LD_PRELOAD=OURS:/x.so")]
    [InlineData("LD_PRELOAD= A=1", "A=1 LD_PRELOAD=OURS")]
    public void What_was_to_be_preloaded_still_is(string before, string after) =>
        Assert.Equal(after.Replace("OURS", InterceptAbi.Library, StringComparison.Ordinal), string.Join(' ', InterceptLibrary.Environment(before.Split(' '))));

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);

    private static string Folder([CallerFilePath] string file = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(file)!, "../../../ckpt-kmod/intercept"));

    private static string FirstLine(string program)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, ["--version"]) { RedirectStandardOutput = true })!;
        string? line = process.StandardOutput.ReadLine();
        _ = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return line ?? "";
    }

    [GeneratedRegex(@"\(NEEDED\).*\[(.*)\]")]
    private static partial Regex Needed();

    [GeneratedRegex(@"^#define (\w+)(.*?)(?:/\*.*)?$", RegexOptions.Multiline)]
    private static partial Regex Defined();
}
