namespace Akka.Configuration;

/// <summary>The defaults of every key that the engine reads.</summary>
internal static class ReferenceConfig
{
    public const string Text =
        """
        akka {
          loggers = ["Akka.Event.DefaultLogger"]
          loggers-dispatcher = "akka.actor.default-dispatcher"
          logger-startup-timeout = 5s
          loglevel = "INFO"
          stdout-loglevel = "WARNING"
          log-config-on-start = off
          log-dead-letters = 10
          log-dead-letters-during-shutdown = off
          log-dead-letters-suspend-duration = 5 minutes
          extensions = []
          home = ""

          actor {
            guardian-supervisor-strategy = "Akka.Actor.DefaultSupervisorStrategy"
            ask-timeout = infinite
            creation-timeout = 20s
            unstarted-push-timeout = 10s
            serialize-messages = off
            serialize-creators = off

            deployment {
              default {
                dispatcher = ""
                mailbox = ""
                router = "from-code"
                nr-of-instances = 1
                within = 5 s
                virtual-nodes-factor = 10
                routees.paths = []
              }
            }

            default-dispatcher {
              type = "Dispatcher"
              throughput = 30
              throughput-deadline-time = 0ms
              dedicated-thread-pool.thread-count = 3
              mailbox-requirement = ""
            }
            default-blocking-io-dispatcher {
              type = "Dispatcher"
              throughput = 1
            }
            internal-dispatcher {
              type = "Dispatcher"
              throughput = 5
            }
            default-mailbox {
              mailbox-type = "Akka.Dispatch.UnboundedMailbox"
              mailbox-capacity = 1000
              mailbox-push-timeout-time = 10s
              stash-capacity = -1
            }
            mailbox {
              unbounded-queue-based.mailbox-type = "Akka.Dispatch.UnboundedMailbox"
              bounded-queue-based.mailbox-type = "Akka.Dispatch.BoundedMailbox"
              unbounded-deque-based.mailbox-type = "Akka.Dispatch.UnboundedDequeBasedMailbox"
              bounded-deque-based.mailbox-type = "Akka.Dispatch.BoundedDequeBasedMailbox"
            }

            inbox {
              inbox-size = 1000
              default-timeout = 5s
            }

            serializers {
              bytes = "Akka.Serialization.ByteArraySerializer"
            }
            serialization-bindings {
              "System.Byte[]" = bytes
            }
            serialization-identifiers {
              "Akka.Serialization.ByteArraySerializer" = 4
            }

            debug {
              receive = off
              autoreceive = off
              lifecycle = off
              fsm = off
              event-stream = off
              unhandled = off
              router-misconfiguration = off
            }
          }

          scheduler {
            implementation = "Akka.Actor.HashedWheelTimerScheduler"
            shutdown-timeout = 5s
          }

          coordinated-shutdown {
            default-phase-timeout = 5 s
            terminate-actor-system = on
            exit-clr = off
            run-by-clr-shutdown-hook = on
            run-by-actor-system-terminate = on
            phases {
              before-service-unbind {}
              service-unbind { depends-on = [before-service-unbind] }
              service-requests-done { depends-on = [service-unbind] }
              service-stop { depends-on = [service-requests-done] }
              before-cluster-shutdown { depends-on = [service-stop] }
              cluster-sharding-shutdown-region { timeout = 10 s, depends-on = [before-cluster-shutdown] }
              cluster-leave { depends-on = [cluster-sharding-shutdown-region] }
              cluster-exiting { timeout = 10 s, depends-on = [cluster-leave] }
              cluster-exiting-done { depends-on = [cluster-exiting] }
              cluster-shutdown { depends-on = [cluster-exiting-done] }
              before-actor-system-terminate { depends-on = [cluster-shutdown] }
              actor-system-terminate { timeout = 10 s, depends-on = [before-actor-system-terminate] }
            }
          }
        }
        """;

    private static readonly Lazy<Config> Parsed = new(() => new Config(new Hocon.HoconRoot(HoconReader.Read(Text, "reference.conf", null))));

    public static Config Value => Parsed.Value;
}
