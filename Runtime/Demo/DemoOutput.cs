using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Holdfast.Runtime.Demo;

/// <summary>What the sample of the demo printed. Every line can be computed here too, so that a wrong one shows.</summary>
/// <param name="First">Number of the first complete line; 0 when there is none.</param>
/// <param name="Last">Number of the last complete line; 0 when there is none.</param>
internal sealed record DemoOutput(long First, long Last)
{
    /// <summary>Lines printed.</summary>
    public long Lines => First == 0 ? 0 : Last - First + 1;

    /// <summary>Reads a file of such lines and checks each.</summary>
    /// <exception cref="HoldfastException">A line is wrong, missing or out of order.</exception>
    public static DemoOutput Read(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using StreamReader reader = new(file);
        string text = reader.ReadToEnd();
        // The last line may be half written at this moment.
        string[] lines = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        long first = 0;
        long last = 0;
        foreach (string line in lines)
        {
            long number = long.TryParse(line.Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out long n) ? n : -1;
            first = first == 0 ? number : first;
            if (number < 1 || (last != 0 && number != last + 1) || line != Expected(number))
            {
                throw new HoldfastException("demo.wrong", $"{path}: after line {last} came '{line}'; expected '{Expected(last + 1)}'");
            }

            last = number;
        }

        return new DemoOutput(first, last);
    }

    private static string Expected(long number)
    {
        string text = number.ToString(CultureInfo.InvariantCulture);
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text)))[..16];
        return string.Create(CultureInfo.InvariantCulture, $"{text} {hash} {number * (number + 1) / 2}");
    }
}
