using System.Xml.Linq;
using Xunit;

namespace Holdfast.Architecture.Tests;

/// <summary>The table of allowed references, asserted from the project files.</summary>
public sealed class ReferenceTests
{
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Runtime"] = ["Actors", "Snapshots", "Policies", "KernelBridge", "ActorEngine"],
        ["Actors"] = ["Snapshots", "Policies", "KernelBridge", "ActorEngine"],
        ["KernelBridge"] = [],
        ["Snapshots"] = [],
        ["Policies"] = [],
        ["ActorEngine"] = [],
    };

    public static TheoryData<string> Rooms => [.. Allowed.Keys];

    [Theory]
    [MemberData(nameof(Rooms))]
    public void A_room_refers_to_no_room_but_those_it_may(string room)
    {
        string[] references = [.. References(ProjectOf(room)).Order()];

        Assert.Empty(references.Except(Allowed[room]));
    }

    [Fact]
    public void Every_project_outside_tests_and_bench_is_a_room_of_the_table()
    {
        string[] projects = [.. Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories)
            .Select(p => Path.GetRelativePath(Repository.Root, p))
            .Where(p => !p.StartsWith("tests/") && !p.StartsWith("bench/") && !p.StartsWith(".build/"))];

        Assert.Equal(Allowed.Keys.Select(r => $"{r}/{r}.csproj").Order(), projects.Order());
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        string solution = File.ReadAllText(Path.Combine(Repository.Root, "Runtime.sln"));
        string[] missing = [.. Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories)
            .Select(p => Path.GetRelativePath(Repository.Root, p))
            // Programs that are checkpointed are others' programs: their script builds them.
            .Where(p => !p.StartsWith(".build/") && !p.StartsWith("tests/programs/") && !solution.Contains(p.Replace('/', '\\')))];

        Assert.Empty(missing);
    }

    [Fact]
    public void No_version_of_a_package_stands_outside_the_central_file()
    {
        string[] offenders = [.. Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories)
            .Where(p => !p.Contains("/.build/"))
            .Where(p => XDocument.Load(p).Descendants("PackageReference").Any(r => r.Attribute("Version") is not null || r.Attribute("VersionOverride") is not null))];

        Assert.Empty(offenders);
    }

    [Fact]
    public void The_actors_do_no_input_or_output_of_their_own()
    {
        string[] forbidden = ["System.Net", "File.", "Directory.", "Process.Start", "LibraryImport", "DllImport", "FileStream"];
        string[] offenders = [.. Sources("Actors")
            .Where(p => forbidden.Any(f => File.ReadLines(p).Any(l => !l.TrimStart().StartsWith("//") && l.Contains(f))))];

        Assert.Empty(offenders);
    }

    [Fact]
    public void Only_the_hosting_folder_knows_how_the_engine_is_started()
    {
        string[] offenders = [.. Sources("Runtime").Concat(Sources("Actors"))
            .Where(p => !p.Contains("/Runtime/Hosting/") && File.ReadAllText(p).Contains("ActorSystem.Create"))];

        Assert.Empty(offenders);
    }

    [Fact]
    public void A_project_that_refers_to_the_engine_takes_the_packages_of_the_original_instead_when_the_build_says_so()
    {
        string[] engine = ["ActorEngine", "TestKit"];
        string[] offenders = [.. Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories)
            .Where(p => !engine.Contains(Path.GetFileNameWithoutExtension(p)))
            .Where(p =>
            {
                XElement[] references = [.. XDocument.Load(p).Descendants("ProjectReference")
                    .Where(r => engine.Contains(Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/'))))];
                return references.Any(r => !new[] { r, r.Parent! }.Any(e => e.Attribute("Condition")?.Value == "'$(ActorEngine)' != 'AkkaNet'")) ||
                    (references.Length > 0 && !XDocument.Load(p).Descendants("Import").Any(i => i.Attribute("Project")!.Value.EndsWith("ActorEngine/AkkaNet.targets")));
            })];

        Assert.Empty(offenders);
    }

    private static IEnumerable<string> Sources(string room) =>
        Directory.EnumerateFiles(Path.Combine(Repository.Root, room), "*.cs", SearchOption.AllDirectories)
            .Where(p => !p.Contains("/obj/") && !p.Contains("/bin/"));

    private static string ProjectOf(string room) => Path.Combine(Repository.Root, room, $"{room}.csproj");

    private static IEnumerable<string> References(string project) => XDocument.Load(project)
        .Descendants("ProjectReference")
        .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));
}
