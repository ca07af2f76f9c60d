using Akka.Configuration;
using Akka.Util;

namespace Akka.Actor.Setup
{
    /// <summary>A part of the set-up of a system.</summary>
    public abstract class Setup
    {
        /// <summary>Both.</summary>
        public ActorSystemSetup And(Setup other) => ActorSystemSetup.Create(this, other);
    }

    /// <summary>The set-up of a system: at most one part of each type. Immutable.</summary>
    public sealed class ActorSystemSetup
    {
        /// <summary>No parts.</summary>
        public static readonly ActorSystemSetup Empty = new(new Dictionary<Type, Setup>(TypeComparer.Instance));

        private readonly Dictionary<Type, Setup> _parts;

        private ActorSystemSetup(Dictionary<Type, Setup> parts) => _parts = parts;

        /// <summary>From parts.</summary>
        public static ActorSystemSetup Create(params Setup[] setup) => new(setup.ToDictionary(part => part.GetType(), TypeComparer.Instance));

        /// <summary>The part of a type.</summary>
        public Option<T> Get<T>()
            where T : Setup => _parts.TryGetValue(typeof(T), out var part) ? Option<T>.Create((T)part) : Option<T>.None;

        /// <summary>With another part.</summary>
        public ActorSystemSetup WithSetup<T>(T setup)
            where T : Setup => new(new Dictionary<Type, Setup>(_parts, TypeComparer.Instance) { [setup.GetType()] = setup });

        /// <summary>With another part.</summary>
        public ActorSystemSetup And<T>(T setup)
            where T : Setup => WithSetup(setup);

        /// <inheritdoc/>
        public override string ToString() => $"ActorSystemSetup({string.Join(",", _parts.Keys.Select(type => type.FullName))})";
    }
}

namespace Akka.Actor
{
    /// <summary>Which provider of references a system has.</summary>
    public abstract class ProviderSelection
    {
        private ProviderSelection()
        {
        }

        /// <summary>One for a system by itself: the only one of this engine.</summary>
        public sealed class Local : ProviderSelection
        {
            /// <summary>The only instance.</summary>
            public static readonly ProviderSelection Instance = new Local();

            private Local()
            {
            }
        }
    }

    /// <summary>The configuration of a system as a part of its set-up.</summary>
    public sealed class BootstrapSetup : Setup.Setup
    {
        private BootstrapSetup(Option<Config> config, Option<ProviderSelection> provider)
        {
            Config = config;
            ActorRefProvider = provider;
        }

        /// <summary>The configuration.</summary>
        public Option<Config> Config { get; }

        /// <summary>The provider.</summary>
        public Option<ProviderSelection> ActorRefProvider { get; }

        /// <summary>Without a configuration.</summary>
        public static BootstrapSetup Create() => new(Option<Config>.None, Option<ProviderSelection>.None);

        /// <summary>With a provider.</summary>
        public BootstrapSetup WithActorRefProvider(ProviderSelection name) => new(Config, name);

        /// <summary>With another configuration.</summary>
        public BootstrapSetup WithConfig(Config config) => new(config, ActorRefProvider);

        /// <summary>With a configuration that completes the one at hand.</summary>
        public BootstrapSetup WithConfigFallback(Config config) => new(Config.HasValue ? Config.Value.SafeWithFallback(config) : config, ActorRefProvider);
    }
}
