using System.Diagnostics;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Restore;

/// <summary>A snapshot of another kernel: its vDSO is passed on to this kernel's.</summary>
public sealed class ForeignVdsoTests(ITestOutputHelper output) : IDisposable
{
    private const ulong Room = 0x7123_4567_8000;
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void The_functions_of_this_kernel_are_found() =>
        Assert.Superset(new HashSet<string> { "clock_gettime", "gettimeofday", "time", "getcpu" }, ForeignVdso.Functions(Own()).Keys.ToHashSet());

    [Theory]
    [InlineData("-Wl,--hash-style=both")]
    [InlineData("-Wl,--hash-style=gnu")]
    public void A_function_jumps_to_its_namesake_or_makes_its_call(string hash)
    {
        byte[] own = Own();
        byte[] old = Compiled(hash);
        IReadOnlyDictionary<string, int> there = ForeignVdso.Functions(old);
        Assert.Equal(["clock_gettime", "getcpu", "getrandom", "unheard_of"], there.Keys.Order());

        byte[] passed = ForeignVdso.PassOn(old, own, Room);

        ulong target = Room + (ulong)ForeignVdso.Functions(own)["getcpu"];
        Assert.Equal([0xff, 0x25, 0, 0, 0, 0, .. BitConverter.GetBytes(target)], passed.Skip(there["getcpu"]).Take(14));
        // -ENOSYS for what nobody knows.
        Assert.Equal([0xb8, 0xda, 0xff, 0xff, 0xff, 0xc3], passed.Skip(there["unheard_of"]).Take(6));
        // Nothing else has changed.
        int[] patched = [.. there.Values.SelectMany(at => Enumerable.Range(at, 14))];
        Assert.All(Enumerable.Range(0, old.Length).Except(patched), i => Assert.Equal(old[i], passed[i]));
    }

    [Fact]
    public void A_function_without_room_for_a_jump_is_refused() =>
        Assert.Contains("too few", Assert.Throws<FormatException>(() => ForeignVdso.PassOn(Compiled("-DTIGHT"), Own(), Room)).Message);

    [Fact]
    public void A_damaged_vdso_is_refused_and_never_read_beyond_its_end()
    {
        byte[] own = Own();
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = i % 2 == 0 ? own[..random.Next(own.Length)] : (byte[])own.Clone();
            for (int flips = 0; flips < 8 && damaged.Length > 0; flips++)
            {
                damaged[random.Next(Math.Min(damaged.Length, 2048))] ^= (byte)(1 << random.Next(8));
            }

            try
            {
                ForeignVdso.PassOn(damaged, own, Room);
            }
            catch (FormatException)
            {
                // Said, not crashed.
            }
        }
    }

    [Fact]
    public void An_application_of_another_kernel_goes_on_and_can_be_captured_again()
    {
        IRunningApplication application = bench.Python(
            """
            import os, time
            out = open(os.environ['OUT'] + '/out', 'w', buffering=1)
            last = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            while True:
                now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                assert now >= last and now - last < 60e9, (now, last)
                last = now
                out.write(f'{now}\n')
                time.sleep(0.005)
            """);
        bench.ExpectLines("out", 5);
        for (int round = 0; round < 3; round++)
        {
            Taken taken = Sleeping(application);
            application.Kill();
            // Another kernel's in the first and the last round; what was passed on once is an ordinary piece of memory in the second.
            application = bench.Restore(round == 1 ? taken : Altered(taken, image => image with { Host = image.Host with { Vdso = WithoutCode(image.Host.Vdso) } }));
            bench.ExpectLines("out", 5);
            Assert.Single(MemoryMap.Read(application.MainPid), map => map.Name == "[vdso]");
        }

        // The numbers are those of a clock that goes on, without a jump over the time between a loss and its restore.
        long[] times = [.. bench.Lines("out").Select(long.Parse)];
        Assert.Equal(times.Order(), times);
    }

    [Fact]
    public void A_thread_inside_the_vdso_of_another_kernel_is_named()
    {
        IRunningApplication application = bench.Shell("while :; do sleep 0.01; done");
        Taken taken = bench.Checkpoint(application, kill: true);
        Taken inside = Altered(taken, image =>
        {
            ProcessImage process = image.Processes[0];
            ulong vdso = process.Memory!.Areas.Single(area => area.Name == "[vdso]").Start;
            UserRegisters registers = System.Runtime.InteropServices.MemoryMarshal.Read<UserRegisters>(process.Threads[0].Registers) with { Rip = vdso + 0x800 };
            System.Runtime.InteropServices.MemoryMarshal.Write(process.Threads[0].Registers, in registers);
            return image with { Host = image.Host with { Vdso = WithoutCode(image.Host.Vdso) } };
        });
        BridgeException refused = Assert.Throws<BridgeException>(() => bench.Restore(inside));
        Assert.Equal("kernel.vdso", Assert.Single(refused.Refusals).Code);
    }

    public void Dispose() => bench.Dispose();

    /// <summary>A snapshot with no thread inside the vDSO; a loop that asks for the time may be met there.</summary>
    private Taken Sleeping(IRunningApplication application)
    {
        for (int attempt = 0; attempt < 20; attempt++)
        {
            Taken taken = bench.Checkpoint(application);
            ProcessImage process = taken.Decode().Processes[0];
            AreaImage vdso = process.Memory!.Areas.Single(area => area.Name == "[vdso]");
            if (process.Threads.All(thread => System.Runtime.InteropServices.MemoryMarshal.Read<UserRegisters>(thread.Registers).Rip - vdso.Start >= vdso.Length))
            {
                return taken;
            }
        }

        throw new InvalidOperationException("It is always met inside the vDSO.");
    }

    private static Taken Altered(Taken taken, Func<ApplicationImage, ApplicationImage> alter) => taken with { Image = alter(taken.Decode()).Encode() };

    /// <summary>A vDSO whose functions trap: whoever is not passed on dies.</summary>
    private static byte[] WithoutCode(byte[] vdso)
    {
        byte[] other = (byte[])vdso.Clone();
        foreach (int at in ForeignVdso.Functions(vdso).Values)
        {
            other[at] = 0x0f;
            other[at + 1] = 0x0b;
        }

        return other;
    }

    private static byte[] Own()
    {
        MemoryMap map = MemoryMap.Read(Environment.ProcessId).Single(map => map.Name == "[vdso]");
        using TargetMemory memory = new(Environment.ProcessId);
        byte[] bytes = new byte[map.Length];
        memory.Read(map.Start, bytes);
        return bytes;
    }

    /// <summary>A shared object with functions of these names, in another order and at other offsets than any kernel has them.</summary>
    private byte[] Compiled(string flag)
    {
        string? library = bench.Compile(
            """
            #ifdef TIGHT
            #define ALIGN 2
            #else
            #define ALIGN 32
            #endif
            #define FUNCTION(name) __attribute__((aligned(ALIGN), visibility("default"))) int __vdso_##name(void) { return 1; }
            FUNCTION(getrandom)
            FUNCTION(unheard_of)
            FUNCTION(getcpu)
            FUNCTION(clock_gettime)
            """,
            "foreign", "-shared", "-fPIC", "-nostdlib", "-Os", "-Wl,-z,noseparate-code", flag);
        Assert.True(library is not null, "This needs gcc.");
        return File.ReadAllBytes(library);
    }
}
