using System.Globalization;

namespace Holdfast.Snapshots.Tests;

/// <summary>
/// What a disk may hold when the power goes after some recorded calls: a file's bytes are sure after fsync of the file, a name after fsync of its
/// directory; of the rest anything may have reached it, in any order, writes also in part.
/// </summary>
internal sealed class LossyDisk(string root)
{
    private readonly Dictionary<string, Node> _names = new(StringComparer.Ordinal) { [root] = new Node { IsDirectory = true } };
    private readonly Dictionary<string, Node> _sureNames = new(StringComparer.Ordinal) { [root] = new Node { IsDirectory = true } };
    private readonly List<NameChange> _changes = [];

    public void Apply(RecordedCall call)
    {
        switch (call.Name)
        {
            case "create":
                if (!_names.ContainsKey(call.Path))
                {
                    Change(new NameChange(null, call.Path, new Node()));
                }

                return;
            case "mkdir":
                Change(new NameChange(null, call.Path, new Node { IsDirectory = true }));
                return;
            case "rename":
                Change(new NameChange(call.Path, call.Other, _names[call.Path]));
                return;
            case "link":
                Change(new NameChange(null, call.Other, _names[call.Path]));
                return;
            case "unlink":
                Change(new NameChange(call.Path, null, null));
                return;
            case "write":
                _names[call.Path].Pending.Add((call.Offset, call.Data));
                return;
            case "truncate":
                _names[call.Path].Pending.Add((call.Offset, null));
                return;
            case "punch":
                _names[call.Path].Pending.Add((call.Offset, new byte[int.Parse(call.Other, CultureInfo.InvariantCulture)]));
                return;
            case "fsync":
                Sync(call.Path);
                return;
        }
    }

    /// <summary>Puts one of the possible states into a directory.</summary>
    /// <param name="into">An empty directory.</param>
    /// <param name="chance">Asked for each thing that is not sure: 0 lost, 1 there, between: in part.</param>
    public void Materialise(string into, Func<double> chance)
    {
        var names = new Dictionary<string, Node>(_sureNames, StringComparer.Ordinal);
        foreach (NameChange change in _changes)
        {
            if (chance() >= 0.5)
            {
                change.Apply(names);
            }
        }

        foreach ((string path, Node node) in names.OrderBy(n => n.Key, StringComparer.Ordinal))
        {
            string target = into + path[root.Length..];
            if (node.IsDirectory)
            {
                if (Directory.Exists(Path.GetDirectoryName(target)))
                {
                    Directory.CreateDirectory(target);
                }
            }
            else if (Directory.Exists(Path.GetDirectoryName(target)))
            {
                File.WriteAllBytes(target, node.Possible(chance));
            }
        }
    }

    private void Sync(string path)
    {
        Node node = _names[path];
        if (!node.IsDirectory)
        {
            node.Sync();
            return;
        }

        foreach (NameChange change in _changes.Where(c => c.Concerns(path)).ToList())
        {
            change.Apply(_sureNames);
            _changes.Remove(change);
        }
    }

    private void Change(NameChange change)
    {
        change.Apply(_names);
        _changes.Add(change);
    }

    private sealed record NameChange(string? From, string? To, Node? Node)
    {
        public bool Concerns(string directory) => Path.GetDirectoryName(From) == directory || Path.GetDirectoryName(To) == directory;

        public void Apply(Dictionary<string, Node> names)
        {
            if (From is not null)
            {
                names.Remove(From);
            }

            if (To is not null)
            {
                names[To] = Node!;
            }
        }
    }

    private sealed class Node
    {
        private byte[] _sure = [];

        public bool IsDirectory { get; init; }

        public List<(long Offset, byte[]? Data)> Pending { get; } = [];

        public void Sync()
        {
            _sure = Possible(() => 1);
            Pending.Clear();
        }

        public byte[] Possible(Func<double> chance)
        {
            byte[] bytes = _sure;
            foreach ((long offset, byte[]? data) in Pending)
            {
                double share = chance();
                if (data is null)
                {
                    bytes = share < 0.5 ? bytes : Resized(bytes, (int)offset);
                    continue;
                }

                // In part: whole blocks of the beginning, as disks write.
                int length = share >= 1 ? data.Length : Math.Min(data.Length, (int)(share * data.Length) / 512 * 512);
                if (length > 0)
                {
                    bytes = Resized(bytes, Math.Max(bytes.Length, (int)offset + length));
                    data.AsSpan(0, length).CopyTo(bytes.AsSpan((int)offset));
                }
            }

            return [.. bytes];
        }

        private static byte[] Resized(byte[] bytes, int length)
        {
            byte[] resized = new byte[length];
            bytes.AsSpan(0, Math.Min(length, bytes.Length)).CopyTo(resized);
            return resized;
        }
    }
}
