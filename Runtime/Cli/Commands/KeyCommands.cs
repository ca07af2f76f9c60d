using System.CommandLine;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast new-key</c> and <c>rotate-key</c>: the keys of encrypted stores.</summary>
internal static class KeyCommands
{
    public static Command NewKey(Executor executor)
    {
        Argument<string> file = new("FILE") { Description = "The key file, which must not exist" };
        DocumentedCommand command = new("new-key", "Makes a key for an encrypted store, in a file that only its owner can read.")
        {
            Examples = [("holdfast new-key /etc/holdfast.key", "then 'holdfast --key /etc/holdfast.key run ...': the store is made encrypted. Without its key, nobody can read it.")],
        };
        command.Arguments.Add(file);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
        {
            string path = parsed.GetRequiredValue(file);
            StoreKey key = StoreKey.Generate();
            key.Save(path);
            session.Output.Confirm(new KeyJson(key.Id, path), StorageJson.Default.KeyJson, k => $"{k.File} holds the key {k.Key}");
            return Task.FromResult(ExitStatus.Done);
        }));
        return command;
    }

    public static Command RotateKey(Executor executor)
    {
        Argument<string> file = new("FILE") { Description = "The file with the new key" };
        DocumentedCommand command = new("rotate-key", "Changes the key of an encrypted store: from then on only the new one opens it. Nothing that is stored is rewritten.")
        {
            Examples = [("holdfast --key old.key rotate-key new.key", "new data is encrypted with new data keys; supervisors that run must be started again")],
        };
        command.Arguments.Add(file);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
        {
            string path = parsed.GetRequiredValue(file);
            StoreKey key = StoreKey.FromFile(path);
            session.Store.RequiredSnapshots().RotateKey(key);
            session.Output.Confirm(new KeyJson(key.Id, path), StorageJson.Default.KeyJson, k => $"{session.Store.Root} opens with the key {k.Key} of {k.File}");
            return Task.FromResult(ExitStatus.Done);
        }));
        return command;
    }
}
