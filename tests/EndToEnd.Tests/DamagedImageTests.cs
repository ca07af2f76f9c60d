using Xunit.Abstractions;

namespace Holdfast.EndToEnd.Tests;

/// <summary>An image that was cut short or changed is refused, never a crash, and never brings a wrong process to life.</summary>
public sealed class DamagedImageTests(ITestOutputHelper output)
{
    [Fact]
    public void An_image_cut_short_at_random_lengths_is_refused() =>
        Damage(LongMode.Count(50, 200), true, (bytes, random) => bytes[..random.Next(bytes.Length)]);

    [Fact]
    public void An_image_with_a_flipped_bit_is_refused_or_restores_what_was_captured() =>
        Damage(LongMode.Count(200, 1000), false, (bytes, random) =>
        {
            var changed = bytes.ToArray();
            changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
            return changed;
        });

    private void Damage(int rounds, bool alwaysRefused, Func<byte[], Random, byte[]> damage)
    {
        using var application = TestApplication.StartProgram("tree_three_levels", "");
        var before = Files(application.Work.Store);
        application.Checkpoint();
        application.KillByForce();
        // What this snapshot added to the store, and what it changed there: the image, wherever it is kept.
        var image = Files(application.Work.Store)
            .Where(pair => !before.TryGetValue(pair.Key, out var was) || !was.AsSpan().SequenceEqual(pair.Value)).ToList();
        // The catalogue's log says what happened; a snapshot does not depend on it.
        image.RemoveAll(pair => pair.Value.Length == 0 || Path.GetFileName(pair.Key) == "events");
        Assert.NotEmpty(image);
        Random random = new(LongMode.Seed);
        output.WriteLine($"seed {LongMode.Seed}; {string.Join(", ", image.Select(pair => $"{Path.GetFileName(pair.Key)} {pair.Value.Length}"))}");
        int refused = 0, restored = 0;
        for (var round = 0; round < rounds; round++)
        {
            // Each file as often as any other: most of the bytes are pages, most of the meaning is not.
            var (path, bytes) = image[random.Next(image.Count)];
            application.Work.Forget();
            File.WriteAllBytes(path, damage(bytes, random));
            var result = application.Holdfast("restore", application.Name, "--detach");
            if (result.Succeeded)
            {
                // The damage was where nothing depends on it. Then the application must be the right one.
                restored++;
                Assert.False(alwaysRefused, $"round {round}: {path}, cut to {new FileInfo(path).Length} of {bytes.Length} bytes, was restored.");
                application.RequirePass();
                application.KillByForce();
            }
            else
            {
                refused++;
                result.RequiredToBeRefused();
                Assert.True(application.Processes().Count == 0, $"round {round}, {path}: refused, but {application.Describe()} runs. {result}");
                Assert.Null(application.Work.Result);
            }

            File.WriteAllBytes(path, bytes);
        }

        output.WriteLine($"{refused} refused, {restored} restored rightly");
        Assert.True(refused * 2 > rounds, $"Only {refused} of {rounds} damaged images were refused.");
        // The undamaged image is as good as before.
        application.Restore();
        application.RequirePass();
    }

    private static Dictionary<string, byte[]> Files(string store)
    {
        Dictionary<string, byte[]> files = [];
        foreach (var path in Directory.EnumerateFiles(store, "*", SearchOption.AllDirectories))
        {
            try
            {
                files[path] = File.ReadAllBytes(path);
            }
            catch (IOException)
            {
                // A socket, which nobody can open.
            }
        }

        return files;
    }
}
