using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Many questions, asked without a stop for each: the thread runs over a stack whose words load the registers of one call after the other, made of ends of functions
/// that it has. Behind the last question it waits (rt_sigtimedwait(2) or ppoll(2), which leave its restart block alone) until it is stopped; and behind that lies the
/// frame with its true state: a thread whose tracer dies goes on when that wait is over.
/// </summary>
internal sealed partial class InjectedCalls
{
    private const long Patience = 3;

    /// <summary>What lies before the answers to several questions: 1 when all are there, and the struct timespec of the wait.</summary>
    private const int DoneAt = 0, TimeoutAt = 8, AnswersBegin = 24;

    private readonly List<Question> asked = [];
    private readonly Dictionary<Question, (long Result, byte[] Bytes)> answers = [];
    private ulong answersAt;
    private int answerBytes;

    /// <summary>The stack of the row that runs; 0 when none does.</summary>
    private ulong answering;

    /// <summary>Asks one call once for each of several first arguments. It must not fail for any, and never answer with all bits set.</summary>
    /// <param name="number">The call: first argument, 0, address of the answer, size of something.</param>
    /// <param name="firsts">The first arguments.</param>
    /// <param name="size">Bytes of an answer.</param>
    /// <param name="fourth">The fourth argument: 8, the size of a signal mask, which the wait needs too.</param>
    /// <returns>The answers, one behind the other; null when this program lacks the instructions: then they have to be asked one by one.</returns>
    /// <exception cref="BridgeException"><c>inject.late</c>: this process got no processor for so long that the wait was over.</exception>
    public byte[]? AskAll(int number, IReadOnlyList<int> firsts, int size, ulong fourth = 8)
    {
        if (gadgets.Pops is not { } pops)
        {
            return null;
        }

        ulong answers = Reserve(firsts.Count * size);
        ulong nothing = Reserve(24);
        List<ulong> words = [];
        for (int i = 0; i < firsts.Count; i++)
        {
            Require(new InjectedCall(number, (ulong)firsts[i], 0, answers + (ulong)(i * size), fourth));
            words.AddRange(pops.Load((ulong)number, (ulong)firsts[i], answers + (ulong)(i * size)));
            words.Add(gadgets.SyscallReturn);
        }

        // No signal is waited for; struct timespec behind the empty set.
        Require(new InjectedCall(X64.RtSigtimedwait, nothing, 0, nothing + 8, fourth));
        words.AddRange(pops.Load(X64.RtSigtimedwait, nothing, nothing + 8));
        words.Add(gadgets.SyscallReturn);
        byte[] answered = new byte[firsts.Count * size];
        answered.AsSpan().Fill(0xff);
        memory.Write(answers, answered);
        memory.Write(nothing, [.. new byte[8], .. BitConverter.GetBytes(Patience), .. new byte[8]]);
        ulong stack = Start(words, [], fourth);
        Stop(stack, () =>
        {
            memory.Read(answers + (ulong)((firsts.Count - 1) * size), answered.AsSpan(0, size));
            return answered.AsSpan(0, size).ContainsAnyExcept((byte)0xff);
        });
        memory.Read(answers, answered);
        ReleaseReserved();
        return answered;
    }

    /// <summary>
    /// Lets the thread begin to answer several questions by itself, if this program has the instructions for it and filters allow it; meanwhile it is not to be asked
    /// by ptrace. The answers are waited for by <see cref="Answer"/>.
    /// </summary>
    public void BeginToAnswer(ReadOnlySpan<Question> questions)
    {
        if (gadgets.Pops is not { Store: not null } pops)
        {
            return;
        }

        asked.Clear();
        int length = AnswersBegin;
        foreach (Question question in questions)
        {
            if (Allows(question.Call(0)))
            {
                asked.Add(question);
                length += question.Room;
            }
        }

        if (!Allows(new InjectedCall(X64.Ppoll)) || asked.Count == 0)
        {
            asked.Clear();
            return;
        }

        // How long the row of words is says where the answers lie, which lie before it.
        List<ulong> words = Words(pops, 0);
        answersAt = frame - (ulong)words.Count * 8 - (ulong)length;
        byte[] room = new byte[length];
        BitConverter.TryWriteBytes(room.AsSpan(TimeoutAt), Patience);
        answerBytes = length;
        answering = Start(Words(pops, answersAt), room, 0);
    }

    /// <summary>What the kernel answered.</summary>
    /// <returns>Its result, -4095…-1 being errors, and what it wrote.</returns>
    /// <exception cref="BridgeException"><c>inject.late</c>: this process got no processor for so long that the wait was over.</exception>
    public (long Result, byte[] Bytes) Answer(Question question)
    {
        EndAnswers();
        if (answers.TryGetValue(question, out (long, byte[]) known))
        {
            return known;
        }

        InjectedCall call = question.Call(Scratch);
        long result = Call(call.Number, call.A0, call.A1, call.A2, call.A3, call.A4, call.A5);
        return (result, Read(Scratch, question.Size));
    }

    private List<ulong> Words(PopGadgets pops, ulong at)
    {
        List<ulong> words = [];
        ulong answer = at + AnswersBegin;
        foreach (Question question in asked)
        {
            InjectedCall call = question.Call(answer + 8);
            words.AddRange([pops.Store!.Rsi, call.A1, .. pops.Load((ulong)call.Number, call.A0, call.A2), gadgets.SyscallReturn, .. pops.Keep(answer)]);
            answer += (ulong)question.Room;
        }

        words.AddRange([.. pops.Load(1, 0, 0), .. pops.Keep(at + DoneAt)]);

        // ppoll(2) of nothing: unlike poll(2) it leaves the restart block alone.
        words.AddRange([pops.Store!.Rsi, 0, .. pops.Load(X64.Ppoll, 0, at + TimeoutAt), gadgets.SyscallReturn]);
        return words;
    }

    /// <summary>Waits until the questions are answered.</summary>
    private void EndAnswers()
    {
        if (answering == 0)
        {
            return;
        }

        ulong stack = answering;
        answering = 0;
        Stop(stack, () => memory.Read<long>(answersAt + DoneAt) == 1);
        ReadOnlySpan<byte> all = Read(answersAt, answerBytes);
        int at = AnswersBegin;
        foreach (Question question in asked)
        {
            answers[question] = (BitConverter.ToInt64(all[at..]), all.Slice(at + 8, question.Size).ToArray());
            at += question.Room;
        }
    }

    /// <summary>Lets the thread go through a row of words that lies right before its frame, other bytes before it.</summary>
    /// <returns>Where the row begins.</returns>
    private ulong Start(List<ulong> words, ReadOnlySpan<byte> before, ulong fourth)
    {
        ulong stack = frame - (ulong)words.Count * 8;
        if (stack - (ulong)before.Length < slot + ScratchSize)
        {
            throw new InvalidOperationException("More calls at once than their stack holds.");
        }

        byte[] bytes = new byte[before.Length + words.Count * 8];
        before.CopyTo(bytes);
        MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(words)).CopyTo(bytes.AsSpan(before.Length));
        memory.Write(stack - (ulong)before.Length, bytes);
        Enter(original with { OrigRax = ulong.MaxValue, Rip = words[0], Rsp = stack + 8, Rsi = 0, R10 = fourth, R8 = 0, R9 = 0 });
        thread.Run();
        return stack;
    }

    /// <summary>Stops the thread in the wait behind the row.</summary>
    private void Stop(ulong stack, Func<bool> done)
    {
        thread.StopWhen(done);
        interrupted = true;
        UserRegisters registers = PtraceCall.GetRegisters(thread.Tid);
        if (registers.Rsp < stack || registers.Rsp > frame)
        {
            throw new BridgeException("inject.late", $"calling into thread {thread.Tid}", $"it was not stopped within {Patience} s, and went on", "try again when the machine is less busy");
        }
    }
}

/// <summary>A system call that asks something, and writes no more than its answer.</summary>
/// <param name="Call">Makes it, of the address at which it is to write; it has no more than three arguments that are not 0.</param>
/// <param name="Size">Bytes that it writes.</param>
internal sealed record Question(Func<ulong, InjectedCall> Call, int Size = 0)
{
    /// <summary>Bytes that its result and its answer take behind each other.</summary>
    public int Room => 8 + (Size + 7 & ~7);
}
