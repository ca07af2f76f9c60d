namespace Holdfast.Kmod.Tests;

/// <summary>The module is built as distributions do it, and what comes of that is a module that works.</summary>
public sealed class DkmsTests
{
    [KernelFact(takes: "two minutes")]
    public void Dkms_builds_it_for_every_kernel_and_what_it_builds_can_be_loaded()
    {
        const string Package = "holdfast-ckpt/0.1.0";
        string directory = Directory.CreateTempSubdirectory("holdfast-dkms-").FullName;
        try
        {
            string tree = Directory.CreateDirectory(Path.Combine(directory, "tree")).FullName;
            string sources = Directory.CreateDirectory(Path.Combine(directory, "sources")).FullName;
            Done(Shell.Run("cp", "-r", Shell.Module, Path.Combine(sources, Package.Replace('/', '-'))));
            foreach (string kernel in Kernels.All)
            {
                string home = Kernels.Directory(kernel);
                string release = Path.GetFileName(home);
                Done(Shell.Run("dkms", "--dkmstree", tree, "--sourcetree", sources, "build", Package, "-k", release, "--kernelsourcedir", Path.Combine(home, "build")));
                string module = Path.Combine(tree, Package, release, "x86_64", "module", "ckpt.ko");
                Assert.True(File.Exists(module), module);
                Done(Shell.Run(Path.Combine(Shell.Harness, "run"), "--kernel", kernel, "--module", module, "test", "-c", "/dev/ckpt"));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static void Done(CommandResult result) => Assert.True(result.Status == 0, result.ToString());
}
