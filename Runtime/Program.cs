using Holdfast.Runtime.Cli;

return CommandLine.Run(args);
