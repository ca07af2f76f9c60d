using System.Runtime.Versioning;
using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Cli;

[assembly: SupportedOSPlatform("linux")]

Authority.Own.Confine();
return CommandLine.Run(args);
