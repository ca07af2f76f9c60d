using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using Akka.Actor;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

/// <summary>Every public member of the engine and of its TestKit is a line of an approved file. A line more or less is to be a decision: the engine may offer nothing that Akka.NET lacks.</summary>
public sealed class ApiSpec
{
    [Theory]
    [InlineData("Api.approved.txt", typeof(ActorSystem))]
    [InlineData("TestKitApi.approved.txt", typeof(Akka.TestKit.TestKitBase))]
    public void The_public_surface_is_the_approved_one(string file, Type member)
    {
        var actual = Surface(member.Assembly);
        var path = Path.Combine(SourceDirectory(), file);
        if (Environment.GetEnvironmentVariable("HOLDFAST_APPROVE_API") == "1")
        {
            File.WriteAllLines(path, actual);
        }

        var approved = File.ReadAllLines(path);
        Assert.True(
            approved.SequenceEqual(actual),
            "not approved: " + string.Join("\n  ", actual.Except(approved)) + "\ngone: " + string.Join("\n  ", approved.Except(actual)) +
            "\nAfter comparing with Akka.NET's own approved surface, run this test once with HOLDFAST_APPROVE_API=1.");
    }

    [Theory]
    [InlineData(typeof(ActorSystem))]
    [InlineData(typeof(Akka.TestKit.TestKitBase))]
    public void All_public_types_are_in_namespaces_of_the_original(Type member) =>
        Assert.All(member.Assembly.GetExportedTypes(), type => Assert.True(type.Namespace == "Akka" || type.Namespace!.StartsWith("Akka.", StringComparison.Ordinal), type.FullName));

    private static string SourceDirectory([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;

    internal static string[] Surface(Assembly assembly)
    {
        var lines = new List<string>();
        foreach (var type in assembly.GetExportedTypes())
        {
            lines.Add($"{Name(type)} : {string.Join(", ", Bases(type).Order(StringComparer.Ordinal))} [{Kind(type)}]");
            const BindingFlags all = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
            lines.AddRange(type.GetMembers(all).Select(member => Line(type, member)).OfType<string>());
        }

        return [.. lines.Order(StringComparer.Ordinal)];
    }

    private static IEnumerable<string> Bases(Type type)
    {
        if (type.BaseType is { IsPublic: true } or { IsNestedPublic: true } && type.BaseType != typeof(object) && !type.IsValueType && !type.IsEnum)
        {
            yield return Name(type.BaseType!);
        }

        foreach (var implemented in type.GetInterfaces().Where(each => each.IsVisible && each.Assembly == type.Assembly))
        {
            yield return Name(implemented);
        }
    }

    private static string Kind(Type type) => type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct"
        : typeof(Delegate).IsAssignableFrom(type) ? "delegate" : type.IsAbstract && type.IsSealed ? "static class" : type.IsSealed ? "sealed class" : type.IsAbstract ? "abstract class" : "class";

    private static string? Line(Type type, MemberInfo member)
    {
        switch (member)
        {
            case MethodInfo { IsSpecialName: true } method when !method.Name.StartsWith("op_", StringComparison.Ordinal):
                return null;
            case MethodBase method when Visible(method):
                var generic = method.IsGenericMethodDefinition ? $"<{string.Join(",", method.GetGenericArguments().Select(each => each.Name))}>" : "";
                var result = method is MethodInfo info ? " -> " + Name(info.ReturnType) : "";
                return $"{Name(type)}.{method.Name}{generic}({string.Join(", ", method.GetParameters().Select(Parameter))}){result}{Modifiers(method)}";
            case PropertyInfo property when property.GetAccessors(true).Any(Visible):
                var accessors = property.GetAccessors(true).Where(Visible).Select(accessor => accessor.Name.StartsWith("get", StringComparison.Ordinal) ? "get" : "set").Order(StringComparer.Ordinal);
                return $"{Name(type)}.{property.Name} : {Name(property.PropertyType)} {{ {string.Join("; ", accessors)} }}{Modifiers(property.GetAccessors(true).First(Visible))}";
            case FieldInfo { IsSpecialName: false } field when field.IsPublic || field.IsFamily || field.IsFamilyOrAssembly:
                return $"{Name(type)}.{field.Name} : {Name(field.FieldType)}{(field.IsStatic ? " static" : "")}{(field.IsInitOnly ? " readonly" : "")}{(field.IsFamily ? " protected" : "")}";
            default:
                return null;
        }
    }

    private static bool Visible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static string Modifiers(MethodBase method) =>
        (method.IsStatic ? " static" : "") + (method.IsFamily || method.IsFamilyOrAssembly ? " protected" : "") + (method is { IsAbstract: true } ? " abstract" : method is { IsVirtual: true, IsFinal: false } ? " virtual" : "");

    private static string Parameter(ParameterInfo parameter) =>
        (parameter.IsDefined(typeof(ParamArrayAttribute)) ? "params " : parameter.IsOut ? "out " : "") + Name(parameter.ParameterType) + " " + parameter.Name + (parameter.HasDefaultValue ? " = " + (parameter.DefaultValue ?? "default") : "");

    private static string Name(Type type)
    {
        if (type.IsByRef)
        {
            return Name(type.GetElementType()!);
        }

        if (type.IsArray)
        {
            return Name(type.GetElementType()!) + "[]";
        }

        if (type.IsGenericParameter)
        {
            return type.Name;
        }

        var name = new StringBuilder(type.IsNested ? Name(type.DeclaringType!) + "+" + type.Name : type.Namespace + "." + type.Name);
        var tick = name.ToString().LastIndexOf('`');
        if (tick >= 0)
        {
            name.Length = tick;
        }

        if (type.IsGenericType && !type.IsNested)
        {
            name.Append('<').AppendJoin(", ", type.GetGenericArguments().Select(Name)).Append('>');
        }

        return name.ToString();
    }
}
