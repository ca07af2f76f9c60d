using System.Buffers.Binary;
using System.Net.Sockets;
using Holdfast.KernelBridge.Spaces;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Tests.Spaces;

public sealed class InitProtocolTests : IDisposable
{
    private static readonly bool thorough = Environment.GetEnvironmentVariable("HOLDFAST_LONG") == "1";

    private readonly SpaceFixture space = new();

    public void Dispose() => space.Dispose();

    [Fact]
    public void Status_names_the_main_process_inside_and_outside()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using InitClient client = InitClient.Connect(application.Target.InitSocket!);

        InitStatus status = client.Status();

        Assert.Equal(new InitStatus(2, application.MainPid, false, false, false, true, TimeSpan.Zero, false), status);
        Assert.Equal(2, ProcessIdentity.NamespacePids(status.MainPid)[^1]);
    }

    [Fact]
    public void A_held_descriptor_outlives_its_giver_and_is_taken_as_often_as_wanted()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string path = space.PathOf("kept");
        using (var giver = InitClient.Connect(application.Target.InitSocket!))
        using (FileStream file = File.Create(path))
        {
            file.Write("kept bytes"u8);
            file.Flush();
            giver.Hold(77, (int)file.SafeFileHandle.DangerousGetHandle());
            Assert.Throws<BridgeException>(() => giver.Hold(77, (int)file.SafeFileHandle.DangerousGetHandle()));
        }

        using var taker = InitClient.Connect(application.Target.InitSocket!);
        for (int i = 0; i < 3; i++)
        {
            using SafeFileHandle handle = taker.Take(77);
            Assert.Equal(path, new FileInfo($"/proc/self/fd/{Descriptors.Number(handle)}").LinkTarget);
            Assert.Equal(10, RandomAccess.GetLength(handle));
        }

        taker.Drop(77);
        Assert.Equal("init.no-descriptor", Assert.Throws<BridgeException>(() => taker.Take(77)).Code);
        Assert.Equal("init.no-descriptor", Assert.Throws<BridgeException>(() => taker.Drop(77)).Code);
    }

    [Fact]
    public void Without_a_cgroup_there_is_neither_watchdog_nor_lease_and_the_client_is_told()
    {
        // What a host without a writable v2 hierarchy gives: the same request, without the groups.
        RunningApplication application = space.Run(space.Request("sleep", "1000") with { Grouped = false });
        Assert.Null(application.Target.CgroupPath);
        using InitClient client = InitClient.Connect(application.Target.InitSocket!);

        Assert.False(client.Status().HasCgroup);
        Assert.Equal("init.no-cgroup", Assert.Throws<BridgeException>(() => client.Arm(TimeSpan.FromSeconds(1))).Code);
        Assert.Equal("init.no-cgroup", Assert.Throws<BridgeException>(() => client.Lease(TimeSpan.FromSeconds(1))).Code);
        Assert.Equal("init.no-cgroup", Assert.Throws<BridgeException>(client.Thaw).Code);

        application.Kill();
        Assert.Equal(128 + 9, SpaceFixture.Finish(application));
    }

    [Fact]
    public void The_application_itself_may_not_command_its_init()
    {
        string state = space.NewStateDirectory();
        SpaceRequest request = space.Request([.. HelperProcess.Command("ask-init"), Path.Combine(state, InitSocket.Name)]) with { StateDirectory = state };

        Assert.Equal(9, SpaceFixture.Finish(space.Run(request)));

        // From outside the same question is answered.
        RunningApplication other = space.Run("exec sleep 1000");
        Assert.Equal(0, SpaceHelpers.AskInit([other.Target.InitSocket!]));
    }

    [Fact]
    public void Nonsense_on_the_socket_is_survived()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        RunningApplication application = space.Run("exec sleep 1000");
        string socket = application.Target.InitSocket!;
        using InitClient good = InitClient.Connect(socket);
        good.Status();
        int descriptors = Directory.GetFiles($"/proc/{application.Target.RootPid}/fd").Length;

        try
        {
            for (int round = 0; round < (thorough ? 2000 : 100); round++)
            {
                using Socket bad = Connect(socket);
                for (int i = random.Next(8); i >= 0; i--)
                {
                    SendNonsense(bad, random);
                }
            }

            InitStatus status = good.Status();
            Assert.Equal(application.MainPid, status.MainPid);
            Assert.False(status.Leased || status.LeaseExpired);
            Assert.False(CgroupFreezer.IsFrozen(application.Target.CgroupPath!));
            SpaceFixture.Until(
                () => good.Status().MainPid != 0 && Directory.GetFiles($"/proc/{application.Target.RootPid}/fd").Length <= descriptors,
                "the init with no more descriptors than before");
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"seed {seed}", e);
        }
    }

    [Theory]
    [InlineData(15, 0)]
    [InlineData(17, 0)]
    [InlineData(4, 0)]
    [InlineData(16, 1)]
    public void A_command_that_is_not_whole_is_refused_whatever_it_asks_for(int length, int reserved)
    {
        RunningApplication application = space.Run("exec sleep 1000");
        using Socket socket = Connect(application.Target.InitSocket!);
        foreach (uint operation in new uint[] { 4, 10 })
        {
            byte[] command = new byte[Math.Max(16, length)];
            BinaryPrimitives.WriteUInt32LittleEndian(command, operation);
            BinaryPrimitives.WriteInt32LittleEndian(command.AsSpan(4), reserved);
            command[8] = 1;
            socket.Send(command, length, SocketFlags.None);
            byte[] reply = new byte[32];

            Assert.Equal(32, socket.Receive(reply));
            Assert.Equal(SpaceNative.EINVAL, BinaryPrimitives.ReadInt32LittleEndian(reply.AsSpan(4)));
        }

        using InitClient client = InitClient.Connect(application.Target.InitSocket!);
        Assert.False(client.Status().LeaseExpired);
        Assert.False(application.Exited.IsCompleted);
    }

    [Fact]
    public void Descriptors_that_come_with_anything_but_hold_are_closed()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string socket = application.Target.InitSocket!;
        using InitClient good = InitClient.Connect(socket);
        good.Status();
        int descriptors = Directory.GetFiles($"/proc/{application.Target.RootPid}/fd").Length;
        using FileStream file = File.Create(space.PathOf("file"));
        int fd = (int)file.SafeFileHandle.DangerousGetHandle();

        foreach (int count in new[] { 1, 2, 28, 29, 100 })
        {
            using SafeFileHandle bad = InitSocket.Connect(socket, SpaceFixture.Patience);
            SendWithDescriptors(bad, operation: 1, [.. Enumerable.Repeat(fd, count)]);
            SendWithDescriptors(bad, operation: 6, [.. Enumerable.Repeat(fd, count == 1 ? 2 : count)]);
        }

        SpaceFixture.Until(
            () => good.Status().MainPid != 0 && Directory.GetFiles($"/proc/{application.Target.RootPid}/fd").Length == descriptors,
            "the init with as many descriptors as before");
    }

    [Fact]
    public void Idle_clients_do_not_keep_others_out()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string socket = application.Target.InitSocket!;
        using InitClient watching = InitClient.Connect(socket);
        watching.Arm(TimeSpan.FromHours(1));
        List<Socket> idle = [];
        try
        {
            for (int i = 0; i < 40; i++)
            {
                idle.Add(Connect(socket));
            }

            using InitClient client = InitClient.Connect(socket);
            Assert.Equal(application.MainPid, client.Status().MainPid);
            Assert.True(watching.Status().Armed);
        }
        finally
        {
            idle.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public void A_client_that_never_reads_its_answers_holds_nobody_up()
    {
        RunningApplication application = space.Run("exec sleep 1000");
        string socket = application.Target.InitSocket!;
        using Socket deaf = Connect(socket);
        deaf.Blocking = false;
        byte[] command = new byte[16];
        command[0] = 1;
        using InitClient good = InitClient.Connect(socket);
        for (int i = 0; i < 20_000; i++)
        {
            try
            {
                deaf.Send(command);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock)
            {
                good.Status();
            }
            catch (SocketException)
            {
                break;
            }
        }

        Assert.Equal(application.MainPid, good.Status().MainPid);
    }

    private static Socket Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    /// <summary>Sends what no client would send on purpose, commands that would be obeyed left out.</summary>
    private static void SendNonsense(Socket socket, Random random)
    {
        byte[] bytes = new byte[random.Next(3) == 0 ? 16 : random.Next(1, 200)];
        random.NextBytes(bytes);
        if (bytes.Length == 16)
        {
            // A known operation, with a reserved word or an argument that is wrong for it.
            uint operation = (uint)random.Next(0, 10);
            bool reserved = operation is 3 or 5 || random.Next(2) == 0;
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, operation);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), reserved ? (uint)random.Next(1, int.MaxValue) : 0);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), random.Next(2) == 0 ? 0 : ulong.MaxValue - (ulong)random.Next(1000));
        }

        try
        {
            socket.Send(bytes);
        }
        catch (SocketException)
        {
            // It may have hung up on us.
        }
    }

    private static unsafe void SendWithDescriptors(SafeFileHandle socket, uint operation, int[] fds)
    {
        byte* command = stackalloc byte[16];
        new Span<byte>(command, 16).Clear();
        *(uint*)command = operation;
        int length = sizeof(SpaceNative.ControlHeader) + (4 * fds.Length);
        byte[] control = new byte[(length + 7) & ~7];
        fixed (byte* first = control)
        {
            *(SpaceNative.ControlHeader*)first = new() { Length = (nuint)length, Level = SpaceNative.SOL_SOCKET, Type = SpaceNative.SCM_RIGHTS };
            fds.CopyTo(new Span<int>(first + sizeof(SpaceNative.ControlHeader), fds.Length));
            var vector = new SpaceNative.IoVector { Base = command, Length = 16 };
            var message = new SpaceNative.MessageHeader { Vector = &vector, VectorLength = 1, Control = first, ControlLength = (nuint)control.Length };
            Assert.Equal(16, SpaceNative.SendMessage(Descriptors.Number(socket), &message, SpaceNative.MSG_NOSIGNAL));
        }
    }
}
