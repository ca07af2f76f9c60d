using System.Buffers.Binary;
using System.Runtime.Serialization;
using System.Text;
using Akka.Actor;

namespace Akka.Serialization;

/// <summary>Text and whole numbers, so that these can be stored without a serializer of one's own.</summary>
internal sealed class PrimitiveSerializer(ExtendedActorSystem system) : SerializerWithStringManifest(system)
{
    public override int Identifier => 17;

    public override string Manifest(object o) => o switch
    {
        string => "S",
        int => "I",
        long => "L",
        bool => "B",
        _ => throw new ArgumentException($"no primitive: {o.GetType()}", nameof(o)),
    };

    public override byte[] ToBinary(object obj)
    {
        switch (obj)
        {
            case string text:
                return Encoding.UTF8.GetBytes(text);
            case int number:
                var four = new byte[4];
                BinaryPrimitives.WriteInt32LittleEndian(four, number);
                return four;
            case long number:
                var eight = new byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(eight, number);
                return eight;
            case bool flag:
                return [flag ? (byte)1 : (byte)0];
            default:
                throw new ArgumentException($"no primitive: {obj.GetType()}", nameof(obj));
        }
    }

    public override object FromBinary(byte[] bytes, string manifest) => manifest switch
    {
        "S" => Encoding.UTF8.GetString(bytes),
        "I" => BinaryPrimitives.ReadInt32LittleEndian(bytes),
        "L" => BinaryPrimitives.ReadInt64LittleEndian(bytes),
        "B" => bytes[0] != 0,
        _ => throw new SerializationException($"unknown manifest '{manifest}'"),
    };
}
