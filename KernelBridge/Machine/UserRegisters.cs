using System.Runtime.InteropServices;

namespace Holdfast.KernelBridge.Machine;

/// <summary>General registers of a thread: <c>struct user_regs_struct</c> of arch/x86/include/asm/user_64.h, as NT_PRSTATUS yields it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal record struct UserRegisters
{
    public ulong R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8, Rax, Rcx, Rdx, Rsi, Rdi, OrigRax, Rip, Cs, Eflags, Rsp, Ss, FsBase, GsBase, Ds, Es, Fs, Gs;
}
