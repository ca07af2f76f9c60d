using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch.MessageQueues;
using Akka.Util;

namespace Akka.Dispatch;

/// <summary>The kinds of mailboxes of a system, by the paths of their sections.</summary>
public class Mailboxes
{
    /// <summary>The default mailbox.</summary>
    public static readonly string DefaultMailboxId = "akka.actor.default-mailbox";

    private readonly Dictionary<string, MailboxType> _types = [];
    private readonly ActorSystemImpl _system;
    private readonly MailboxType _default;

    internal Mailboxes(ActorSystemImpl system)
    {
        _system = system;
        _default = Lookup(DefaultMailboxId);
    }

    /// <summary>The kind of a section.</summary>
    /// <exception cref="ConfigurationException">There is no such section, or its type is unknown.</exception>
    public MailboxType Lookup(string id)
    {
        lock (_types)
        {
            if (!_types.TryGetValue(id, out var type))
            {
                type = Create(id);
                _types[id] = type;
            }

            return type;
        }
    }

    internal MailboxType For(Props props)
    {
        var deploy = props.Deploy;
        if (deploy.Mailbox != Deploy.NoMailboxGiven)
        {
            return Lookup(deploy.Mailbox);
        }

        if (deploy.Dispatcher != Deploy.NoDispatcherGiven && _system.Settings.Config.GetString(deploy.Dispatcher + ".mailbox-type") is { Length: > 0 })
        {
            return Lookup(deploy.Dispatcher);
        }

        return _default;
    }

    internal int StashCapacity(string dispatcher, string mailbox)
    {
        var config = _system.Settings.Config;
        return mailbox != DefaultMailboxId && config.HasPath(mailbox + ".stash-capacity")
            ? config.GetInt(mailbox + ".stash-capacity")
            : config.HasPath(dispatcher + ".stash-capacity") ? config.GetInt(dispatcher + ".stash-capacity") : config.GetInt(DefaultMailboxId + ".stash-capacity", -1);
    }

    private MailboxType Create(string id)
    {
        if (id == "unbounded")
        {
            return new UnboundedMailbox(_system.Settings, Config.Empty);
        }

        var section = _system.Settings.Config.GetConfig(id) ?? throw new ConfigurationException($"Mailbox Type [{id}] not configured");
        section = section.WithFallback(_system.Settings.Config.GetConfig(DefaultMailboxId) ?? Config.Empty);
        var type = section.GetString("mailbox-type");
        if (string.IsNullOrEmpty(type))
        {
            throw new ConfigurationException($"The setting mailbox-type defined in [{id}] is empty");
        }

        return TypeResolver.BareName(type) switch
        {
            "Akka.Dispatch.UnboundedMailbox" => new UnboundedMailbox(_system.Settings, section),
            "Akka.Dispatch.UnboundedDequeBasedMailbox" => new UnboundedDequeBasedMailbox(_system.Settings, section),
            "Akka.Dispatch.BoundedMailbox" => new BoundedMailbox(_system.Settings, section),
            "Akka.Dispatch.BoundedDequeBasedMailbox" => new BoundedDequeBasedMailbox(_system.Settings, section),
            _ => TypeResolver.Create<MailboxType>(type, id + ".mailbox-type", _system.Settings, section),
        };
    }
}

/// <summary>A mailbox without a limit. The default.</summary>
public sealed class UnboundedMailbox : MailboxType, IProducesMessageQueue<UnboundedMessageQueue>
{
    /// <summary>Creates one without a section.</summary>
    public UnboundedMailbox()
        : base(null!, Config.Empty)
    {
    }

    /// <summary>Creates one from its section.</summary>
    public UnboundedMailbox(Settings settings, Config config)
        : base(settings, config)
    {
    }

    /// <inheritdoc/>
#nullable disable annotations
    public override IMessageQueue Create(IActorRef owner, ActorSystem system) => new UnboundedMessageQueue();
#nullable restore annotations
}
