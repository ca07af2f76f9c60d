// Writes snapshots until it is killed or done, and says what is committed and what is forgotten, a line each, as soon as it is so.
using System.Globalization;
using System.Text;
using Holdfast.Snapshots;

string directory = args[0];
int rounds = int.Parse(args[1], CultureInfo.InvariantCulture);
var random = new Random(int.Parse(args[2], CultureInfo.InvariantCulture));
using Stream output = Console.OpenStandardOutput();
using SnapshotStore store = SnapshotStore.Open(directory);
SnapshotInfo? last = null;
byte[] content = new byte[40 * 4096];
random.NextBytes(content);
Say("ready");
for (int round = 0; round < rounds; round++)
{
    bool deduplicate = round % 3 == 2;
    SnapshotInfo taken;
    using (SnapshotWriter writer = store.BeginSnapshot("o", "block", last, new SnapshotWriterOptions { Deduplicate = deduplicate }))
    {
        for (int page = 0; page < 40; page++)
        {
            if (last is not null && !deduplicate && random.Next(5) > 0)
            {
                writer.KeepFromParent("data", page * 4096L, 4096);
                continue;
            }

            if (random.Next(5) == 0)
            {
                random.NextBytes(content.AsSpan(page * 4096, 4096));
            }

            // What is kept from the parent must be the parent's bytes.
            writer.Write("data", page * 4096L, content.AsSpan(page * 4096, 4096));
        }

        writer.SetState(BitConverter.GetBytes(round));
        taken = writer.Commit();
    }

    Say($"committed {taken.Id} {store.ContentDigestOf(taken)}");
    if (last is not null && random.Next(3) == 0)
    {
        Say($"forgetting {last.Id}");
        store.Forget(last);
        Say($"forgot {last.Id}");
    }

    if (random.Next(4) == 0)
    {
        store.CollectGarbage();
    }

    last = taken;
}

Say("done");

void Say(string line) => output.Write(Encoding.ASCII.GetBytes(line + "\n"));
