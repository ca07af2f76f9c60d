namespace Holdfast.KernelBridge.Machine;

/// <summary>
/// Code that takes all messages out of a POSIX message queue and puts them back in the same order, x86-64, to be run inside a process that stands
/// (<see cref="Capture.InjectedCalls.RunCode"/>): r12 queue, r13 first record, r14 bytes from one record to the next, r15 bytes of the largest message, rbx how many
/// messages, r8 an absolute time that is over, so that no call waits.
/// </summary>
/// <remarks>
/// A record: priority (4 bytes), what sending returned (4), what receiving returned (8), the message.
/// <code>
///          mov rbp, r13
///          mov r9, rbx
/// receive: test r9, r9
///          jz put
///          mov eax, 243            ; mq_timedreceive
///          mov rdi, r12
///          lea rsi, [rbp+16]
///          mov rdx, r15
///          mov r10, rbp
///          syscall
///          mov [rbp+8], rax
///          test rax, rax
///          js put
///          add rbp, r14
///          dec r9
///          jmp receive
/// put:     sub rbx, r9             ; how many came
///          mov rbp, r13
/// send:    test rbx, rbx
///          jz done
///          mov eax, 242            ; mq_timedsend
///          mov rdi, r12
///          lea rsi, [rbp+16]
///          mov rdx, [rbp+8]
///          mov r10d, [rbp]
///          syscall
///          mov [rbp+4], eax
///          add rbp, r14
///          dec rbx
///          jmp send
/// done:    ret
/// </code>
/// </remarks>
internal static class QueueTurn
{
    /// <summary>Bytes in front of each message.</summary>
    public const int RecordHeader = 16;

    /// <summary>The machine code.</summary>
    public static ReadOnlySpan<byte> Code =>
    [
        0x4c, 0x89, 0xed, 0x49, 0x89, 0xd9, 0x4d, 0x85, 0xc9, 0x74, 0x25, 0xb8, 0xf3, 0x00, 0x00, 0x00, 0x4c, 0x89, 0xe7, 0x48, 0x8d, 0x75, 0x10, 0x4c, 0x89, 0xfa, 0x49, 0x89, 0xea,
        0x0f, 0x05, 0x48, 0x89, 0x45, 0x08, 0x48, 0x85, 0xc0, 0x78, 0x08, 0x4c, 0x01, 0xf5, 0x49, 0xff, 0xc9, 0xeb, 0xd6, 0x4c, 0x29, 0xcb, 0x4c, 0x89, 0xed, 0x48, 0x85, 0xdb, 0x74,
        0x21, 0xb8, 0xf2, 0x00, 0x00, 0x00, 0x4c, 0x89, 0xe7, 0x48, 0x8d, 0x75, 0x10, 0x48, 0x8b, 0x55, 0x08, 0x44, 0x8b, 0x55, 0x00, 0x0f, 0x05, 0x89, 0x45, 0x04, 0x4c, 0x01, 0xf5,
        0x48, 0xff, 0xcb, 0xeb, 0xda, 0xc3,
    ];
}
