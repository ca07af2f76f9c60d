using System.Collections.Concurrent;
using Akka.Actor;
using Akka.TestKit.Xunit2;
using FsCheck;
using FsCheck.Fluent;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.ActorEngine.Tests;

/// <summary>Random cases against a reference model. A case is made from one number, which FsCheck prints when the case fails.</summary>
public sealed class ModelSpec(ITestOutputHelper output) : TestKit(Patience.Config + "akka.loglevel = OFF")
{
    private static int Cases => Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1" ? 400 : 40;

    private void Check(Func<int, Task> property)
    {
        var seed = (ulong)Random.Shared.NextInt64();
        output.WriteLine($"seed {seed}");
        var config = Config.QuickThrowOnFailure.WithMaxTest(Cases).WithReplay(seed, 1UL);
        Prop.ForAll(Arb.From(Gen.Choose(0, int.MaxValue)), number =>
        {
            property(number).GetAwaiter().GetResult();
            return true;
        }).Check(config);
    }

    // The tree: every node makes its children in PreStart, so that a restart makes them anew.
    private sealed record Shape(string Name, bool AllForOne, Directive[] Directives, Shape[] Children);

    private abstract class Fault : Exception
    {
        public abstract int Kind { get; }
    }

    private sealed class FaultA : Fault
    {
        public override int Kind => 0;
    }

    private sealed class FaultB : Fault
    {
        public override int Kind => 1;
    }

    private sealed class FaultC : Fault
    {
        public override int Kind => 2;
    }

    private static Fault Make(int kind) => kind switch
    {
        0 => new FaultA(),
        1 => new FaultB(),
        _ => new FaultC(),
    };

    private static Shape RandomShape(Random random, string name, int depth) => new(
        name,
        random.Next(3) == 0,
        [.. Enumerable.Range(0, 3).Select(_ => (Directive)random.Next(4))],
        depth == 0 ? [] : [.. Enumerable.Range(0, random.Next(4)).Select(i => RandomShape(random, "n" + i, depth - 1))]);

    private sealed class Node(Shape shape, ConcurrentDictionary<string, int> created) : ReceiveActor
    {
        private bool _configured;

        protected override void PreStart()
        {
            if (!_configured)
            {
                _configured = true;
                Become(() =>
                {
                    Receive<Fault>(fault => throw fault);
                    Receive<string>(_ => { });
                });
            }

            created.AddOrUpdate(Self.Path.ToStringWithoutAddress(), 1, (_, count) => count + 1);
            foreach (var child in shape.Children)
            {
                Context.ActorOf(Props.Create(() => new Node(child, created)), child.Name);
            }
        }

        protected override SupervisorStrategy SupervisorStrategy() => shape.AllForOne
            ? new AllForOneStrategy(cause => shape.Directives[((Fault)cause).Kind])
            : new OneForOneStrategy(cause => shape.Directives[((Fault)cause).Kind]);
    }

    private sealed class Model(Shape shape, string path, Model? parent)
    {
        public string Path { get; } = path;

        public Shape Shape { get; } = shape;

        public List<Model> Children { get; } = [];

        public static Model Create(Shape shape, string path, Model? parent, Dictionary<string, int> created)
        {
            var model = new Model(shape, path, parent);
            model.Start(created);
            return model;
        }

        public IEnumerable<Model> All => Children.SelectMany(child => child.All).Prepend(this);

        /// <summary>What the supervision does about a fault of this node; false when the root is gone by it.</summary>
        public bool Fail(int kind, Dictionary<string, int> created)
        {
            // The user guardian restarts.
            var directive = parent is null ? Directive.Restart : parent.Shape.Directives[kind];
            switch (directive)
            {
                case Directive.Resume:
                    return true;
                case Directive.Escalate:
                    return parent!.Fail(kind, created);
                case Directive.Restart:
                    foreach (var each in parent is { Shape.AllForOne: true } ? [.. parent.Children] : new[] { this })
                    {
                        each.Start(created);
                    }

                    return true;
                default:
                    if (parent is null)
                    {
                        return false;
                    }

                    if (parent.Shape.AllForOne)
                    {
                        parent.Children.Clear();
                    }
                    else
                    {
                        parent.Children.Remove(this);
                    }

                    return true;
            }
        }

        private void Start(Dictionary<string, int> created)
        {
            created[Path] = created.GetValueOrDefault(Path) + 1;
            Children.Clear();
            foreach (var child in Shape.Children)
            {
                Children.Add(Create(child, Path + "/" + child.Name, this, created));
            }
        }
    }

    [Fact]
    public void Random_supervision_trees_under_random_faults_match_the_model() => Check(async number =>
    {
        var random = new Random(number);
        var shape = RandomShape(random, "root", 3);
        var created = new ConcurrentDictionary<string, int>();
        var root = Sys.ActorOf(Props.Create(() => new Node(shape, created)));
        var expected = new Dictionary<string, int>();
        var model = Model.Create(shape, root.Path.ToStringWithoutAddress(), null, expected);
        await Matches(model, created, expected, number, -1);
        for (var step = 0; step < 12; step++)
        {
            var nodes = model.All.ToArray();
            var victim = nodes[random.Next(nodes.Length)];
            var kind = random.Next(3);
            Sys.ActorSelection(victim.Path).Tell(Make(kind));
            Assert.True(victim.Fail(kind, expected));
            await Matches(model, created, expected, number, step);
        }

        Sys.Stop(root);
    });

    private async Task Matches(Model model, ConcurrentDictionary<string, int> created, Dictionary<string, int> expected, int number, int step)
    {
        string actual = "", wanted = "";
        try
        {
            await AwaitConditionAsync(
                () =>
                {
                    wanted = string.Join(" ", expected.OrderBy(pair => pair.Key).Select(pair => $"{pair.Key}={pair.Value}")) + " | " + string.Join(" ", model.All.Select(each => each.Path).Order());
                    actual = string.Join(" ", created.ToArray().OrderBy(pair => pair.Key).Select(pair => $"{pair.Key}={pair.Value}")) + " | " + string.Join(" ", Living(created.Keys).Order());
                    return Task.FromResult(wanted == actual);
                },
                TimeSpan.FromSeconds(30),
                TimeSpan.FromMilliseconds(2));
        }
        catch (Exception e)
        {
            throw new Xunit.Sdk.XunitException($"case {number}, step {step}:\nwanted {wanted}\nactual {actual}", e);
        }
    }

    // An actor that answers is alive; for one that is gone the answer has no subject.
    private IEnumerable<string> Living(IEnumerable<string> paths)
    {
        var all = paths.ToArray();
        var probe = CreateTestProbe();
        foreach (var path in all)
        {
            Sys.ActorSelection(path).Tell(new Identify(path), probe.Ref);
        }

        var living = probe.ReceiveN(all.Length, TimeSpan.FromSeconds(20)).Cast<ActorIdentity>().Where(identity => identity.Subject is not null).Select(identity => (string)identity.MessageId).ToArray();
        Sys.Stop(probe.Ref);
        return living;
    }

    private sealed record DoWatch(int Subject);

    private sealed record DoUnwatch(int Subject);

    private sealed class Watcher : ReceiveActor
    {
        private readonly HashSet<int> _open = [];

        public Watcher(IActorRef[] subjects, ConcurrentQueue<string> wrong)
        {
            Receive<DoWatch>(watch =>
            {
                _open.Add(watch.Subject);
                Context.Watch(subjects[watch.Subject]);
            });
            Receive<DoUnwatch>(unwatch =>
            {
                _open.Remove(unwatch.Subject);
                Context.Unwatch(subjects[unwatch.Subject]);
            });
            Receive<Terminated>(terminated =>
            {
                var index = Array.IndexOf(subjects, terminated.ActorRef);
                if (!_open.Remove(index))
                {
                    wrong.Enqueue($"Terminated of {index} without a watch, or twice");
                }
            });
            Receive<string>(text => text == "open", _ => Sender.Tell(_open.Count));
        }
    }

    private sealed class Subject : ReceiveActor
    {
        public Subject() => Receive<string>(_ => throw new InvalidOperationException());
    }

    [Fact]
    public void Random_interleavings_of_watch_unwatch_restart_and_stop_neither_lose_nor_double_a_Terminated() => Check(async number =>
    {
        var subjects = Enumerable.Range(0, 6).Select(_ => Sys.ActorOf(Props.Create<Subject>())).ToArray();
        var wrong = new ConcurrentQueue<string>();
        var watchers = Enumerable.Range(0, 4).Select(_ => Sys.ActorOf(Props.Create(() => new Watcher(subjects, wrong)))).ToArray();
        await Task.WhenAll(Enumerable.Range(0, 3).Select(thread => Task.Run(() =>
        {
            var random = new Random(number + thread);
            for (var i = 0; i < 120; i++)
            {
                var subject = random.Next(subjects.Length);
                var watcher = watchers[random.Next(watchers.Length)];
                switch (random.Next(20))
                {
                    case 0:
                        Sys.Stop(subjects[subject]);
                        break;
                    case 1:
                        subjects[subject].Tell(PoisonPill.Instance);
                        break;
                    case < 5:
                        subjects[subject].Tell("fail");
                        break;
                    case < 10:
                        watcher.Tell(new DoUnwatch(subject));
                        break;
                    default:
                        watcher.Tell(new DoWatch(subject));
                        break;
                }
            }
        })));
        foreach (var subject in subjects)
        {
            Sys.Stop(subject);
        }

        await AwaitConditionAsync(
            async () =>
            {
                var open = await Task.WhenAll(watchers.Select(watcher => watcher.Ask<int>("open", TimeSpan.FromSeconds(20))));
                return open.Sum() == 0;
            },
            TimeSpan.FromSeconds(30),
            TimeSpan.FromMilliseconds(5));
        Assert.Empty(wrong);
        foreach (var watcher in watchers)
        {
            Sys.Stop(watcher);
        }
    });
}
