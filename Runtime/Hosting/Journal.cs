using System.Diagnostics.CodeAnalysis;
using Akka.Configuration;
using Holdfast.Actors.Protection;

namespace Holdfast.Runtime.Hosting;

/// <summary>Where an actor system keeps its events: an SQLite file, opened when the first persistent actor is made.</summary>
internal static class Journal
{
    /// <summary>The configuration over the rest.</summary>
    /// <param name="file">The SQLite file; made at the first write.</param>
    /// <param name="config">The rest.</param>
    public static Config In(string file, Config config)
    {
        string connection = $"Data Source={file.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}";
        return ConfigurationFactory.ParseString(
            $$"""
            akka {
              actor {
                serializers { holdfast-protection = "{{NameOf(typeof(ProtectionEventSerializer))}}" }
                serialization-bindings {
                  "{{NameOf(typeof(IProtectionEvent))}}" = holdfast-protection
                  "{{NameOf(typeof(ProtectionState))}}" = holdfast-protection
                }
              }
              persistence {
                journal { plugin = "akka.persistence.journal.sql", sql { connection-string = "{{connection}}", provider-name = "SQLite.MS" } }
                snapshot-store { plugin = "akka.persistence.snapshot-store.sql", sql { connection-string = "{{connection}}", provider-name = "SQLite.MS" } }
              }
            }
            """).WithFallback(config);
    }

    // Asked for in this way, the type stays in a program of machine code, where it is found by that name only.
    private static string NameOf([DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] Type type) => $"{type.FullName}, {type.Assembly.GetName().Name}";
}
