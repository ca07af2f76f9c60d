using System.Text;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Cli;

/// <summary>A text writer on a descriptor, for the parser's own output; <see cref="Console"/> would set up the terminal.</summary>
internal sealed class DescriptorWriter(int fd) : TextWriter
{
    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value) => Write(value.ToString());

    public override void Write(string? value) => Libc.WriteAll(fd, Encoding.UTF8.GetBytes(value ?? ""));
}
