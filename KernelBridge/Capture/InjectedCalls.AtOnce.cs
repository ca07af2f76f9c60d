using System.Buffers;
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

    private PreparedQuestions? prepared;
    private byte[]? answers;

    /// <summary>The stack of the row of questions that runs; 0 when none does.</summary>
    private ulong answering;

    /// <summary>The stack of the row behind which the thread was asked to stop, but not yet seen to stand; 0 for none.</summary>
    private ulong stopping;

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
            pops.Load(words, (ulong)number, (ulong)firsts[i], answers + (ulong)(i * size));
            words.Add(gadgets.SyscallReturn);
        }

        // No signal is waited for; struct timespec behind the empty set.
        Require(new InjectedCall(X64.RtSigtimedwait, nothing, 0, nothing + 8, fourth));
        pops.Load(words, X64.RtSigtimedwait, nothing, nothing + 8);
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
    public void BeginToAnswer(Question[] questions)
    {
        if (gadgets.Pops is not { Store: not null } pops)
        {
            return;
        }

        prepared = Filters is null && contents.Prepared.TryGetValue(frame, out PreparedQuestions? known) && known.Questions == questions ? known : PrepareAnswers(questions, pops);
        if (prepared.Asked.Count > 0)
        {
            if (Filters is null)
            {
                contents.Prepared[frame] = prepared;
            }

            answering = Start(prepared.Words, prepared.Room, 0);
        }
    }

    /// <summary>Composes the words for the questions that filters allow.</summary>
    private PreparedQuestions PrepareAnswers(Question[] questions, PopGadgets pops)
    {
        List<Question> allowed = Allows(new InjectedCall(X64.Ppoll)) ? [.. questions.Where(question => Allows(question.Call(0)))] : [];
        int length = AnswersBegin + allowed.Sum(question => question.Room);

        // How long the row of words is says where the answers lie, which lie before it.
        ulong at = frame - (ulong)Words(allowed, pops, 0).Count * 8 - (ulong)length;
        byte[] room = new byte[length];
        BitConverter.TryWriteBytes(room.AsSpan(TimeoutAt), Patience);
        return new PreparedQuestions(questions, allowed, Words(allowed, pops, at), room, at);
    }

    /// <summary>What the kernel answered.</summary>
    /// <returns>Its result, -4095…-1 being errors, and what it wrote.</returns>
    /// <exception cref="BridgeException"><c>inject.late</c>: this process got no processor for so long that the wait was over.</exception>
    public (long Result, ReadOnlyMemory<byte> Bytes) Answer(Question question)
    {
        EndAnswers();
        int at = AnswersBegin;
        foreach (Question known in answers is null ? [] : prepared!.Asked)
        {
            if (known == question)
            {
                return (BitConverter.ToInt64(answers!, at), answers.AsMemory(at + 8, question.Size));
            }

            at += known.Room;
        }

        InjectedCall call = question.Call(Scratch);
        long result = Call(call.Number, call.A0, call.A1, call.A2, call.A3, call.A4, call.A5);
        return (result, Read(Scratch, question.Size));
    }

    private List<ulong> Words(IReadOnlyList<Question> questions, PopGadgets pops, ulong at)
    {
        List<ulong> words = [];
        ulong answer = at + AnswersBegin;
        foreach (Question question in questions)
        {
            InjectedCall call = question.Call(answer + 8);
            pops.Call(words, call, gadgets.SyscallReturn);
            pops.Keep(words, answer);
            answer += (ulong)question.Room;
        }

        pops.Load(words, 1, 0, 0);
        pops.Keep(words, at + DoneAt);

        // ppoll(2) of nothing: unlike poll(2) it leaves the restart block alone.
        pops.Call(words, new InjectedCall(X64.Ppoll, 0, 0, at + TimeoutAt), gadgets.SyscallReturn);
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

        // With the word that says that all are there they come, too: it lies first, and was written last.
        byte[] all = new byte[prepared!.Room.Length];
        thread.InterruptWhen(() =>
        {
            memory.Read(prepared.At, all);
            return BitConverter.ToInt64(all, DoneAt) == 1;
        });
        stopping = stack;
        answers = all;
    }

    /// <summary>Lets the thread go through a row of words that lies right before its frame, other bytes before it.</summary>
    /// <returns>Where the row begins.</returns>
    private ulong Start(List<ulong> words, ReadOnlySpan<byte> before, ulong fourth)
    {
        // The kernel writes what is left of the wait into an earlier row when that ends.
        EndAnswers();
        EndStop();
        ulong stack = frame - (ulong)words.Count * 8;
        if (stack - (ulong)before.Length < slot + ScratchSize)
        {
            throw new InvalidOperationException("More calls at once than their stack holds.");
        }

        // The frame lies right behind them.
        int length = before.Length + words.Count * 8;
        byte[] bytes = ArrayPool<byte>.Shared.Rent(length + frameLength);
        before.CopyTo(bytes);
        MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(words)).CopyTo(bytes.AsSpan(before.Length));
        int whole = length;
        if (unwrittenFrame is { } frameBytes)
        {
            frameBytes.AsSpan(0, frameLength).CopyTo(bytes.AsSpan(length));
            whole += frameLength;
        }

        memory.Write(stack - (ulong)before.Length, bytes.AsSpan(0, whole));
        ArrayPool<byte>.Shared.Return(bytes);
        if (unwrittenFrame is not null)
        {
            ReturnFrame();
        }

        Enter(original with { OrigRax = ulong.MaxValue, Rip = words[0], Rsp = stack + 8, Rsi = 0, R10 = fourth, R8 = 0, R9 = 0 });
        thread.Run();
        return stack;
    }

    /// <summary>Stops the thread in the wait behind the row.</summary>
    private void Stop(ulong stack, Func<bool> done)
    {
        thread.InterruptWhen(done);
        stopping = stack;
        EndStop();
    }

    /// <summary>Waits until the thread stands that was asked to.</summary>
    private void EndStop()
    {
        if (stopping == 0)
        {
            return;
        }

        ulong stack = stopping;
        stopping = 0;
        thread.AwaitInterruptStop();
        interrupted = true;
        UserRegisters registers = PtraceCall.GetRegisters(thread.Tid);
        if (registers.Rsp < stack || registers.Rsp > frame)
        {
            // With its own registers and mask, which are not those of before any more.
            entered = false;
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

/// <summary>Words on a stack that lead a thread through several questions.</summary>
/// <param name="Questions">All that were wanted.</param>
/// <param name="Asked">Those that are asked.</param>
/// <param name="Words">The words.</param>
/// <param name="Room">What lies before the words: room for the answers.</param>
/// <param name="At">Where that begins.</param>
internal sealed record PreparedQuestions(Question[] Questions, IReadOnlyList<Question> Asked, List<ulong> Words, byte[] Room, ulong At);
