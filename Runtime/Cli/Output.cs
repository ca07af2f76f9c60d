using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Cli;

/// <summary>
/// What the program says: results on standard output, the rest on standard error. It writes to the descriptors and leaves
/// <see cref="Console"/> alone, which would set up the terminal that belongs to the application.
/// </summary>
internal sealed class Output(int resultFd, int messageFd)
{
    private int _progressLength;

    public bool Json { get; set; }

    public bool Quiet { get; set; }

    public bool Verbose { get; set; }

    /// <summary>Progress is for people who look on.</summary>
    public bool ShowsProgress => !Quiet && !Json && Libc.isatty(messageFd) == 1;

    /// <summary>The outcome: a JSON line, or text.</summary>
    public void Result<T>(T value, JsonTypeInfo<T> type, Func<T, string> text)
    {
        ClearProgress();
        if (Json)
        {
            Write(resultFd, Line(value, type));
        }
        else
        {
            string lines = text(value);
            Write(resultFd, lines.Length == 0 || lines.EndsWith('\n') ? lines : lines + "\n");
        }
    }

    /// <summary>The outcome that only confirms what was asked: <c>--quiet</c> leaves it out as text.</summary>
    public void Confirm<T>(T value, JsonTypeInfo<T> type, Func<T, string> text)
    {
        if (Json || !Quiet)
        {
            Result(value, type, text);
        }
    }

    /// <summary>The outcome while the application runs in the foreground: on standard error, since standard output is the application's.</summary>
    public void Remark<T>(T value, JsonTypeInfo<T> type, Func<T, string> text)
    {
        if (Json)
        {
            ClearProgress();
            Write(messageFd, Line(value, type));
        }
        else
        {
            Note(text(value));
        }
    }

    public void Text(string text) => Write(resultFd, text.EndsWith('\n') ? text : text + "\n");

    /// <summary>A remark for whoever looks on.</summary>
    public void Note(string text)
    {
        if (!Quiet)
        {
            ClearProgress();
            Write(messageFd, $"holdfast: {text}\n");
        }
    }

    /// <summary>The error: one line per refusal on standard error, and a JSON object where JSON is wanted.</summary>
    public void Error(HoldfastException error)
    {
        ClearProgress();
        string phase = error.Phase is { Length: > 0 } p ? $" (in {p})" : "";
        foreach (string line in error.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            Write(messageFd, $"holdfast: {line}{phase}\n");
        }

        if (Verbose)
        {
            string detail = error.Detail.Length > 0 ? error.Detail : error.ToString();
            Write(messageFd, detail + "\n");
        }

        if (Json)
        {
            ErrorJson json = new(
                error.Code, error.Message, error.Phase,
                error.Refusals.Count == 0 ? null : [.. error.Refusals.Select(ToJson)]);
            Write(resultFd, Line(json, OutputJson.Default.ErrorJson));
        }
    }

    /// <summary>Replaces the progress line.</summary>
    public void Progress(string text)
    {
        if (ShowsProgress)
        {
            Write(messageFd, "\r" + text.PadRight(_progressLength));
            _progressLength = text.Length;
        }
    }

    public void ClearProgress()
    {
        if (_progressLength > 0)
        {
            Write(messageFd, "\r" + new string(' ', _progressLength) + "\r");
            _progressLength = 0;
        }
    }

    public static RefusalJson ToJson(Refusal r) => new(r.Code, r.Pid, r.Descriptor, r.What, r.Why, r.Remedy);

    public static string Bytes(long bytes) => bytes switch
    {
        < 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
        < 1024 * 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
        < 1024L * 1024 * 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1024.0 * 1024):0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1024.0 * 1024 * 1024):0.00} GiB"),
    };

    /// <summary>"2 processes, 1 thread".</summary>
    /// <summary>A warning as a line behind an outcome; nothing for none.</summary>
    public static string Behind(string? warning) => warning is null ? "" : $"\nwarning: {warning}";

    public static string VolumesRead(int volumes) => volumes == 0 ? "" : $", {(volumes == 1 ? "its volume" : $"its {volumes} volumes")} read and left as {(volumes == 1 ? "it is" : "they are")}";

    public static string ProcessesAndThreads(int processes, int threads) =>
        string.Create(CultureInfo.InvariantCulture, $"{processes} process{(processes == 1 ? "" : "es")}, {threads} thread{(threads == 1 ? "" : "s")}");

    public static string Milliseconds(double ms) => string.Create(CultureInfo.InvariantCulture, $"{ms:0.0} ms");

    public static string Time(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);

    /// <summary>A table with its columns aligned.</summary>
    public static string Table(IReadOnlyList<string> headings, IEnumerable<IReadOnlyList<string>> rows)
    {
        List<IReadOnlyList<string>> all = [headings, .. rows];
        int[] widths = [.. headings.Select((_, column) => all.Max(r => r[column].Length))];
        StringBuilder text = new();
        foreach (IReadOnlyList<string> row in all)
        {
            text.AppendLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        }

        return text.ToString();
    }

    // Nothing of this ends up in a web page: quotes and letters stay readable.
    private static string Line<T>(T value, JsonTypeInfo<T> type)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            JsonSerializer.Serialize(writer, value, type);
        }

        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length) + "\n";
    }

    private static void Write(int fd, string text) => Libc.WriteAll(fd, Encoding.UTF8.GetBytes(text));
}
