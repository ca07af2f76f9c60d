using System.Text;
using System.Text.Json.Nodes;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>Interfaces in an image are made on the host: none that is impossible gets so far.</summary>
public sealed class NetworkInterfacesTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void Impossible_interfaces_are_refused()
    {
        IRunningApplication application = bench.Python("import os, time\nopen(os.environ['OUT'] + '/ready', 'w').close()\nwhile True: time.sleep(0.01)");
        bench.Expect("ready");
        byte[] good = bench.Checkpoint(application).Image;
        JsonObject With(Action<JsonObject, JsonObject> change)
        {
            JsonObject root = JsonNode.Parse(good)!.AsObject();
            root["Isolated"]!.AsArray().Add("net");
            JsonObject End(string name) => new()
            {
                ["Name"] = name, ["Hardware"] = Convert.ToBase64String([2, 0, 0, 0, 0, 1]), ["Mtu"] = 1500, ["Up"] = true,
                ["Addresses"] = new JsonArray(new JsonObject { ["Address"] = Convert.ToBase64String([10, 0, 0, 1]), ["Prefix"] = 24, ["Scope"] = 0, ["Broadcast"] = null }),
                ["Routes"] = new JsonArray(new JsonObject
                {
                    ["Destination"] = Convert.ToBase64String(new byte[4]), ["Prefix"] = 0, ["Gateway"] = Convert.ToBase64String([10, 0, 0, 2]), ["Source"] = null, ["Priority"] = 0, ["Scope"] = 0, ["Origin"] = 4,
                }),
            };
            JsonObject pair = new() { ["Inside"] = End("inner"), ["Outside"] = End("outer"), ["Bridge"] = null };
            root["Interfaces"] = new JsonArray(pair);
            change(pair, root);
            return root;
        }

        ApplicationImage Read(JsonObject root) => ApplicationImage.Decode(Encoding.UTF8.GetBytes(root.ToJsonString()));
        void Refused(string what, Action<JsonObject, JsonObject> change)
        {
            BridgeException refused = Assert.Throws<BridgeException>(() => Read(With(change)));
            Assert.True(refused.Code == "image.invalid", $"{what}: {refused}");
        }

        Assert.Single(Read(With((_, _) => { })).Interfaces);
        Refused("a name that is too long", (pair, _) => pair["Outside"]!["Name"] = "sixteen-letters-");
        Refused("a name that is a path", (pair, _) => pair["Outside"]!["Name"] = "../up");
        Refused("no name", (pair, _) => pair["Inside"]!["Name"] = "");
        Refused("a bridge that is none", (pair, _) => pair["Bridge"] = "a b");
        Refused("half a hardware address", (pair, _) => pair["Inside"]!["Hardware"] = Convert.ToBase64String(new byte[3]));
        Refused("no room for a packet", (pair, _) => pair["Inside"]!["Mtu"] = 1);
        Refused("an address of three bytes", (pair, _) => pair["Inside"]!["Addresses"]![0]!["Address"] = Convert.ToBase64String(new byte[3]));
        Refused("a network larger than all", (pair, _) => pair["Inside"]!["Addresses"]![0]!["Prefix"] = 33);
        Refused("a gateway of the other family", (pair, _) => pair["Inside"]!["Routes"]![0]!["Gateway"] = Convert.ToBase64String(new byte[16]));
        Refused("a route of the kernel's", (pair, _) => pair["Inside"]!["Routes"]![0]!["Origin"] = 2);
        Refused("no other end", (pair, _) => pair["Outside"] = null);
        Refused("no end", (pair, _) => pair.Remove("Inside"));
        Refused("one twice", (pair, root) => root["Interfaces"]!.AsArray().Add(pair.DeepClone()));
        Refused("nothing", (_, root) => root["Interfaces"]!.AsArray().Add(null));
        Refused("no network of its own", (_, root) => root["Isolated"]!.AsArray().RemoveAt(root["Isolated"]!.AsArray().Count - 1));
    }

    public void Dispose() => bench.Dispose();
}
