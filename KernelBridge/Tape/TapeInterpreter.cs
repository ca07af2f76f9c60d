namespace Holdfast.KernelBridge.Tape;

/// <summary>
/// The position-independent code that runs a <see cref="SyscallTape"/> inside a process: 88 bytes of x86-64.
/// rbx points to the first record, rbp behind the last one; it ends in a breakpoint with rbx at the record that failed, or at rbp.
/// </summary>
/// <remarks>
/// Only processes that are being built run it: they die with their builder (PTRACE_O_EXITKILL), so a breakpoint is safe there.
/// <code>
/// next:  cmp    rbx, rbp
///        jae    done
///        mov    eax, [rbx]          ; number
///        mov    r13d, [rbx+4]       ; flags
///        mov    rdi, [rbx+8]
///        mov    rsi, [rbx+16]
///        mov    rdx, [rbx+24]
///        mov    r10, [rbx+32]
///        mov    r8,  [rbx+40]
///        mov    r9,  [rbx+48]
///        test   r13b, 2             ; first argument is the kept result
///        cmovnz rdi, r12
///        test   r13b, 4             ; fifth argument is the kept result
///        cmovnz r8, r12
///        syscall
///        mov    [rbx+56], rax       ; result
///        test   r13b, 8             ; leave the kept result
///        cmovz  r12, rax
///        cmp    rax, -4095
///        jb     ok
///        test   r13b, 1             ; errors allowed
///        jz     done
/// ok:    add    rbx, 64
///        jmp    next
/// done:  int3
///        jmp    done
/// </code>
/// </remarks>
internal static class TapeInterpreter
{
    /// <summary>Where in it the <c>syscall</c> instruction stands.</summary>
    public const ulong SyscallOffset = 0x33;

    /// <summary>The machine code.</summary>
    public static ReadOnlySpan<byte> Code =>
    [
        0x48, 0x39, 0xeb, 0x73, 0x50, 0x8b, 0x03, 0x44, 0x8b, 0x6b, 0x04, 0x48, 0x8b, 0x7b, 0x08, 0x48, 0x8b, 0x73, 0x10, 0x48, 0x8b, 0x53, 0x18, 0x4c, 0x8b, 0x53, 0x20,
        0x4c, 0x8b, 0x43, 0x28, 0x4c, 0x8b, 0x4b, 0x30, 0x41, 0xf6, 0xc5, 0x02, 0x49, 0x0f, 0x45, 0xfc, 0x41, 0xf6, 0xc5, 0x04, 0x4d, 0x0f, 0x45, 0xc4, 0x0f, 0x05, 0x48,
        0x89, 0x43, 0x38, 0x41, 0xf6, 0xc5, 0x08, 0x4c, 0x0f, 0x44, 0xe0, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x72, 0x06, 0x41, 0xf6, 0xc5, 0x01, 0x74, 0x06, 0x48, 0x83,
        0xc3, 0x40, 0xeb, 0xab, 0xcc, 0xeb, 0xfd,
    ];
}
