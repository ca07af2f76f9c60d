using Akka.Configuration;

namespace Akka.Actor;

/// <summary>Completes props from the section of an actor's path below /user. In a path, * stands for one element and ** at the end for all that follow.</summary>
internal static class Deployer
{
    public static Props Apply(Config deployments, Props props, ActorPath path)
    {
        var elements = path.Elements;
        if (elements.Count < 2 || elements[0] != "user")
        {
            return props;
        }

        Config? best = null;
        var score = -1;
        foreach (var (key, value) in deployments.AsEnumerable())
        {
            if (key.StartsWith('/') && Score(key[1..].Split('/'), elements) is var found && found > score && value.IsObject())
            {
                score = found;
                best = deployments.GetConfig("\"" + key + "\"");
            }
        }

        if (best is null)
        {
            return props;
        }

        if (best.GetString("dispatcher") is { Length: > 0 } dispatcher)
        {
            props = props.WithDispatcher(dispatcher);
        }

        if (best.GetString("mailbox") is { Length: > 0 } mailbox)
        {
            props = props.WithMailbox(mailbox);
        }

        if (best.HasPath("stash-capacity"))
        {
            props = props.WithStashCapacity(best.GetInt("stash-capacity"));
        }

        return Routing.RouterFactory.Apply(best.WithFallback(deployments.GetConfig("default") ?? Config.Empty), props);
    }

    // The more elements are named exactly, the better.
    private static int Score(string[] pattern, IReadOnlyList<string> elements)
    {
        var score = 0;
        for (var i = 0; i < pattern.Length; i++)
        {
            if (pattern[i] == "**" && i == pattern.Length - 1)
            {
                return elements.Count - 1 > i ? score : -1;
            }

            if (i + 1 >= elements.Count)
            {
                return -1;
            }

            if (pattern[i] == elements[i + 1])
            {
                score += 2;
            }
            else if (pattern[i] == "*")
            {
                score++;
            }
            else
            {
                return -1;
            }
        }

        return pattern.Length == elements.Count - 1 ? score : -1;
    }
}
