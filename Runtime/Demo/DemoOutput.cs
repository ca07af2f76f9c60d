using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Holdfast.Runtime.Demo;

/// <summary>Reads what the sample of the demo prints. Every line can be computed here too, so that a wrong one shows.</summary>
internal sealed class DemoOutput
{
    private readonly Lock _gate = new();
    private readonly List<(long Line, TaskCompletionSource Reached)> _awaited = [];
    private Exception? _failure;
    private bool _ended;

    private DemoOutput()
    {
    }

    /// <summary>Number of the first line; 0 while there is none.</summary>
    public long First { get; private set; }

    /// <summary>Number of the last complete line; 0 while there is none.</summary>
    public long Last { get; private set; }

    /// <summary>Lines that came.</summary>
    public long Lines => First == 0 ? 0 : Last - First + 1;

    /// <summary>Reads a stream to its end, in the background.</summary>
    public static DemoOutput Of(StreamReader reader)
    {
        DemoOutput output = new();
        _ = output.ReadAsync(reader);
        return output;
    }

    /// <summary>Completes when a line has come.</summary>
    /// <exception cref="HoldfastException">A line is wrong, missing or out of order, or the output ended first.</exception>
    public Task LineAsync(long number)
    {
        lock (_gate)
        {
            if (Last >= number)
            {
                return Task.CompletedTask;
            }

            if (_ended)
            {
                return Task.FromException(Ended());
            }

            TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _awaited.Add((number, reached));
            return reached.Task;
        }
    }

    private static string Expected(long number)
    {
        string text = number.ToString(CultureInfo.InvariantCulture);
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text)))[..16];
        return string.Create(CultureInfo.InvariantCulture, $"{text} {hash} {number * (number + 1) / 2}");
    }

    private async Task ReadAsync(StreamReader reader)
    {
        Exception? failure = null;
        try
        {
            while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
            {
                Take(line);
            }
        }
        catch (Exception e) when (e is HoldfastException or IOException)
        {
            failure = e;
        }

        lock (_gate)
        {
            _ended = true;
            _failure = failure;
            _awaited.ForEach(a => a.Reached.SetException(Ended()));
            _awaited.Clear();
        }
    }

    private void Take(string line)
    {
        lock (_gate)
        {
            long number = long.TryParse(line.Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out long n) ? n : 0;
            if (number < 1 || (Last != 0 && number != Last + 1) || line != Expected(number))
            {
                throw new HoldfastException("demo.wrong", $"after line {Last} came '{line}'; expected '{Expected(Last + 1)}'");
            }

            First = First == 0 ? number : First;
            Last = number;
            foreach ((long awaited, TaskCompletionSource reached) in _awaited.Where(a => a.Line <= number).ToList())
            {
                reached.SetResult();
                _awaited.Remove((awaited, reached));
            }
        }
    }

    private Exception Ended() => _failure ?? new HoldfastException("demo.ended", $"the sample ended after line {Last}");
}
