using System.Runtime.Versioning;
using Holdfast.Runtime.Cli;

[assembly: SupportedOSPlatform("linux")]

return CommandLine.Run(args);
