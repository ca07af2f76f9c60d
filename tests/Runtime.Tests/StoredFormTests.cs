using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json.Serialization;
using Holdfast.Actors;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Tests;

/// <summary>
/// What an earlier version has stored lacks what was added since. The generated reader of JSON then gives an <c>init</c> property the default of its type, not its
/// initial value: an empty list becomes null.
/// </summary>
public sealed class StoredFormTests
{
    [Fact]
    public void What_an_earlier_version_has_not_stored_has_its_initial_value()
    {
        NullabilityInfoContext nullability = new();
        List<string> wrong = [];
        foreach (Type type in StoredTypes())
        {
            HashSet<string> given = [.. type.GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                .SelectMany(constructor => constructor.GetParameters()).Select(parameter => parameter.Name ?? "")];
            wrong.AddRange(type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                .Where(property => IsInit(property) && !property.PropertyType.IsValueType && !property.IsDefined(typeof(RequiredMemberAttribute)) && !given.Contains(property.Name)
                    && !property.IsDefined(typeof(JsonIgnoreAttribute)) && nullability.Create(property).WriteState == NullabilityState.NotNull && !Corrects(type, property))
                .Select(property => $"{type.Name}.{property.Name}"));
        }

        Assert.True(wrong.Count == 0, $"make these 'set' or 'required': {string.Join(", ", wrong.Distinct())}");
    }

    [Fact]
    public void An_application_of_an_earlier_version_is_read()
    {
        const string json = """{"name":"old","command":["sleep","1"],"target":{"scope":"Space","pid":7,"startTime":1,"bootId":"b"}}""";
        ApplicationRecord record = System.Text.Json.JsonSerializer.Deserialize(json, RecordJson.Default.ApplicationRecord)!;
        Assert.Empty(record.Volumes);
        Assert.Empty(record.Labels);
        Assert.Equal(ApplicationRecord.CurrentVersion, record.Version);
    }

    /// <summary>All that is read from files or sockets: what contexts name, and what that refers to. What only the command line prints is never read.</summary>
    private static HashSet<Type> StoredTypes()
    {
        Assembly[] rooms = [typeof(ApplicationRecord).Assembly, typeof(IKernelBridge).Assembly, typeof(OperationFailure).Assembly];
        Queue<Type> waiting = new(rooms.SelectMany(room => room.GetTypes())
            .Where(type => type.IsSubclassOf(typeof(JsonSerializerContext)) && type.Namespace?.Contains(".Cli", StringComparison.Ordinal) != true)
            .SelectMany(type => type.CustomAttributes)
            .Where(attribute => attribute.AttributeType == typeof(JsonSerializableAttribute))
            .Select(attribute => (Type)attribute.ConstructorArguments[0].Value!));
        HashSet<Type> found = [];
        while (waiting.TryDequeue(out Type? type))
        {
            foreach (Type argument in type.IsArray ? [type.GetElementType()!] : type.GetGenericArguments())
            {
                waiting.Enqueue(argument);
            }

            if (!rooms.Contains(type.Assembly) || !found.Add(type))
            {
                continue;
            }

            foreach (JsonDerivedTypeAttribute derived in type.GetCustomAttributes<JsonDerivedTypeAttribute>())
            {
                waiting.Enqueue(derived.DerivedType);
            }

            foreach (PropertyInfo property in type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Where(p => !p.IsDefined(typeof(JsonIgnoreAttribute))))
            {
                waiting.Enqueue(property.PropertyType);
            }
        }

        Assert.True(found.Count > 40, $"{found.Count} stored types");
        return found;
    }

    private static bool IsInit(PropertyInfo property) =>
        property.SetMethod?.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) == true;

    /// <summary>Whether its setter makes something of null.</summary>
    private static bool Corrects(Type type, PropertyInfo property)
    {
        object blank = RuntimeHelpers.GetUninitializedObject(type);
        try
        {
            property.SetValue(blank, null);
            return property.GetValue(blank) is not null;
        }
        catch (TargetInvocationException)
        {
            return false;
        }
    }
}
